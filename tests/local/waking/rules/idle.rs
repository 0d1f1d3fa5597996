//! The idle time, the freeze, and the conditions that keep a workload awake.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dormouse_tests::messages;
use dormouse_tests::process::Launch;
use dormouse_tests::wait::{self, SOON};

use super::scene::{MOMENT, Place, Scene};

#[test]
fn an_idle_workload_stops_and_wakes_again() {
    let scene = Scene::new(&[], &["--idle=200ms"]).unwrap();
    let client = scene.client().unwrap();
    scene.echo(&client, "one").unwrap();
    // An open session without data: not idle.
    scene.expect(
        client.ended_within(Duration::from_millis(500)).unwrap().is_none(),
        "the workload was stopped during a session",
    );
    scene.expect(scene.count_in_log(messages::STOPPING) == 0, "the workload was stopped during a session");
    let left = Instant::now();
    drop(client);
    scene.wait_for_log(&messages::state_of("main", "idle", "stopping")).unwrap();
    scene.expect(left.elapsed() >= Duration::from_millis(200), "the workload was stopped too early");
    scene.wait_for_log(&messages::state_of("main", "stopping", "stopped")).unwrap();
    scene.visit("two").unwrap();
    assert_eq!(scene.place.starts(), 2);
}

#[test]
fn a_client_at_the_moment_of_the_stop_is_served_by_the_next_start() {
    let scene = Scene::new(&["ignore=1"], &["--idle=100ms", "--stop-timeout=700ms"]).unwrap();
    scene.visit("one").unwrap();
    scene.wait_for_log(&messages::output("main", "ignores SIGTERM")).unwrap();
    scene.visit("two").unwrap();
    assert_eq!(scene.place.starts(), 2);
}

#[test]
fn a_workload_runs_for_its_minimum_uptime() {
    let scene = Scene::new(&[], &["--idle=50ms", "--minimum-uptime=1s"]).unwrap();
    let began = Instant::now();
    scene.visit("hello").unwrap();
    scene.wait_for_log(&messages::state_of("main", "idle", "stopping")).unwrap();
    scene.expect(began.elapsed() >= Duration::from_secs(1), "the workload was stopped too early");
}

#[test]
fn an_inactive_session_does_not_keep_the_workload_awake() {
    let scene = Scene::new(&[], &["--idle=300ms", "--quiet=700ms"]).unwrap();
    let client = scene.client().unwrap();
    // A session that moves bytes does.
    let began = Instant::now();
    let mut spoke = began;
    while began.elapsed() < Duration::from_millis(1800) {
        spoke = Instant::now();
        scene.echo(&client, "x").unwrap();
        let _ = client.is_readable_within(MOMENT / 3).unwrap();
    }
    scene.expect(scene.count_in_log(messages::STOPPING) == 0, "the workload was stopped during a session");
    scene.is_refused(&client).unwrap();
    scene.expect(spoke.elapsed() >= Duration::from_secs(1), "the workload was stopped too early");
    scene.wait_for_log(&messages::state_of("main", "idle", "stopping")).unwrap();
}

#[test]
fn a_new_client_thaws_the_workload() {
    let scene = Scene::new(&[], &["--freeze=200ms"]).unwrap();
    scene.visit("one").unwrap();
    scene.wait_for_log(&messages::state_of("main", "freezing", "frozen")).unwrap();
    scene.visit("two").unwrap();
    scene.wait_for_log(&messages::state_of("main", "frozen", "thawing")).unwrap();
    assert_eq!(scene.place.starts(), 1);
    // Once more.
    scene.wait_for_log_times(&messages::state_of("main", "freezing", "frozen"), 2).unwrap();
}

#[test]
fn bytes_of_an_inactive_session_thaw_the_workload() {
    let scene = Scene::new(&[], &["--freeze=200ms", "--quiet=200ms"]).unwrap();
    let client = scene.client().unwrap();
    for round in 1..=3 {
        scene.echo(&client, "hello").unwrap();
        scene.wait_for_log_times(&messages::state_of("main", "freezing", "frozen"), round).unwrap();
    }
    scene.echo(&client, "hello").unwrap();
    scene.wait_for_log_times(&messages::state_of("main", "frozen", "thawing"), 3).unwrap();
    assert_eq!(scene.place.starts(), 1);
}

#[test]
fn a_frozen_workload_is_stopped_after_the_idle_time() {
    let scene = Scene::new(&[], &["--freeze=100ms", "--idle=600ms"]).unwrap();
    scene.visit("one").unwrap();
    scene.wait_for_log(&messages::state_of("main", "freezing", "frozen")).unwrap();
    scene.wait_for_log(&messages::state_of("main", "frozen", "stopping")).unwrap();
    scene.wait_for_log(&messages::state_of("main", "stopping", "stopped")).unwrap();
    scene.visit("two").unwrap();
    assert_eq!(scene.place.starts(), 2);
}

/// Starts dormouse in a time zone in which it is about noon, with this keep-warm window.
fn at_noon(place: Place, window: &str) -> Scene {
    let hour = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 3600 % 24;
    let east = 12 - i64::try_from(hour).unwrap();
    // In POSIX time zones west of Greenwich is positive.
    let zone = format!("NOON{}{}", if east > 0 { '-' } else { '+' }, east.abs());
    let text = format!(
        "[services.main]\nlisten = LISTEN\nto = \"{}\"\nwake.exec = \"{}\"\n\
         idle = {{ stop = \"100ms\", minimum_uptime = \"0\", keep_warm = [\"{window}\"] }}\n",
        place.port(0),
        place.server(0, &["pids"]),
    );
    Scene::of_file_by(place, &text, Launch::dormouse().env("TZ", zone)).unwrap()
}

#[test]
fn a_workload_is_kept_warm_without_clients_in_its_window() {
    let scene = at_noon(Place::new(1).unwrap(), "11:00-14:00");
    scene.wait_for_log(&messages::idle("main")).unwrap();
    scene.visit("hello").unwrap();
    scene.wait_for_log(messages::SESSION_FROM).unwrap();
    // Longer than the idle time.
    let window = Instant::now();
    while window.elapsed() < Duration::from_millis(500) {
        scene.visit("hello").unwrap();
        let _ = scene.client().unwrap().is_readable_within(MOMENT).unwrap();
    }
    assert_eq!(scene.place.starts(), 1);
    scene.expect(
        scene.count_in_log(messages::STOPPING) == 0,
        "the workload was stopped in its keep-warm window",
    );
    // A killed workload is started again.
    let pid = String::from_utf8(scene.place.read("pids")).unwrap();
    dormouse_tests::process::kill(&pid).unwrap();
    scene.wait_for_log(messages::KILLED).unwrap();
    scene.wait_for_log_times(&messages::output("main", "starts"), 2).unwrap();
}

#[test]
fn a_workload_sleeps_outside_its_keep_warm_window() {
    let scene = at_noon(Place::new(1).unwrap(), "20:00-22:00");
    scene.visit("hello").unwrap();
    scene.wait_for_log(&messages::state_of("main", "stopping", "stopped")).unwrap();
    assert_eq!(scene.place.starts(), 1);
    let log = scene.log();
    scene.expect(log.contains(messages::STARTS_FOR_ONE_CLIENT), "the workload was woken without a client");
}

const STATUS: &str = "status = \"test -e RUNS\"\nstop = \"rm RUNS\"\nstart = \"touch RUNS\"\n";

/// Starts dormouse with a workload that runs already, as its status command reports.
fn foreign(more: &str) -> (Scene, dormouse_tests::Listener) {
    let place = Place::new(1).unwrap();
    place.open("runs").unwrap();
    let server = dormouse_tests::Listener::bind(dormouse_tests::Family::Tcp4).unwrap();
    let runs = place.path("runs").display().to_string();
    let text = format!(
        "[services.main]\nlisten = LISTEN\nto = \"{}\"\nidle = {{ stop = \"100ms\", minimum_uptime = \"0\" }}\n\
         [services.main.wake]\n{more}{}",
        server.address(),
        STATUS.replace("RUNS", &runs),
    );
    (Scene::of_file(place, &text).unwrap(), server)
}

/// Runs one session.
fn comes_and_goes(scene: &Scene, server: &dormouse_tests::Listener) {
    let client = scene.client().unwrap();
    client.send(b"hello", SOON).unwrap();
    loop {
        // Check connections send no data.
        let accepted = server.accept(SOON).unwrap();
        if accepted.receive(5, SOON).is_ok() {
            accepted.send(b"hello", SOON).unwrap();
            break;
        }
    }
    scene.receives(&client, "hello").unwrap();
}

#[test]
fn a_workload_started_by_others_is_used_and_not_stopped() {
    let (mut scene, server) = foreign("");
    comes_and_goes(&scene, &server);
    scene.wait_for_log(messages::SESSION_FROM).unwrap();
    let client = scene.client().unwrap();
    scene.expect(!client.is_readable_within(Duration::from_millis(400)).unwrap(), "the client got an answer");
    drop(client);
    scene.expect(scene.count_in_log(messages::STOPPING) == 0, "a workload of another program was stopped");
    scene.dormouse.signal(rustix::process::Signal::TERM).unwrap();
    assert!(scene.dormouse.wait(SOON).unwrap().success());
    scene.expect(scene.place.path("runs").exists(), "a workload of another program was stopped");
}

#[test]
fn a_workload_started_by_others_is_stopped_with_stop_foreign() {
    let (scene, server) = foreign("stop_foreign = true\n");
    comes_and_goes(&scene, &server);
    let stopped = || Ok((!scene.place.path("runs").exists()).then_some(()));
    wait::until("the stop of the workload", SOON, stopped)
        .unwrap_or_else(|failure| panic!("{failure}\n{}", scene.log()));
}
