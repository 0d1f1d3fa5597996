//! The effects of a changed configuration file.

use std::time::{Duration, Instant};

use dormouse_tests::messages;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Ending, Family, Listener, Stream, wait};

use super::load::{Echo, Load};
use super::scene::{Place, Scene};

/// The time for which a test waits to see that nothing happens.
const MOMENT: Duration = Duration::from_millis(300);

#[test]
fn an_invalid_file_changes_nothing_and_reports_the_error() {
    let (place, echo) = (Place::new(0).unwrap(), Echo::start().unwrap());
    let good = format!("[services.web]\nlisten = '127.0.0.1:0'\nto = '{}'\n", echo.address);
    let scene = Scene::new(place, &good).unwrap();
    let session = scene.client_of("web").unwrap();
    scene.reload(&format!("{good}idel = '5min'\n")).unwrap();
    scene.wait_for_log("dormouse.toml:5: services.web.idel").unwrap();
    scene.wait_for_log(messages::NOTHING_CHANGED).unwrap();
    let status = scene.manager.wait_until("a status that reports the error", SOON, |message| {
        message
            .get("STATUS")
            .is_some_and(|status| status.contains("not reloaded: ") && status.contains("idel"))
    });
    status.unwrap();
    scene.echo(&session, "still here").unwrap();
    scene.echo(&scene.client_of("web").unwrap(), "and open").unwrap();
    // After the correction the error is gone.
    scene.reload(&good).unwrap();
    scene.wait_for_log(&messages::reloaded("1 unchanged.")).unwrap();
    scene.echo(&session, "still").unwrap();
}

#[test]
fn a_pipe_in_the_place_of_the_file_changes_nothing_and_does_not_hang() {
    let (place, echo) = (Place::new(0).unwrap(), Echo::start().unwrap());
    let good = format!("[services.web]\nlisten = '127.0.0.1:0'\nto = '{}'\n", echo.address);
    let scene = Scene::new(place, &good).unwrap();
    let (file, pipe) = (scene.place.path("dormouse.toml"), scene.place.path("pipe"));
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    std::fs::rename(&pipe, &file).unwrap();
    scene.dormouse.signal(rustix::process::Signal::HUP).unwrap();
    scene.wait_for_log(messages::IS_A_PIPE).unwrap();
    scene.wait_for_log(messages::NOTHING_CHANGED).unwrap();
    scene.reload(&good).unwrap();
    scene.wait_for_log(&messages::reloaded("1 unchanged.")).unwrap();
}

/// The reason of a failed start is said once.
#[test]
fn a_reload_that_ends_a_backoff_does_not_repeat_the_reason() {
    let place = Place::new(1).unwrap();
    let to = place.port(0);
    let text = |exec: &str| {
        format!(
            "restrict_self = false\n[services.web]\nlisten = '127.0.0.1:0'\nto = '{to}'\n\
             wake = {{ exec = '{exec}', user = '0' }}\n"
        )
    };
    let scene = Scene::new(place, &text("sh -c \"exit 7\"")).unwrap();
    scene.is_refused(&scene.client_of("web").unwrap()).unwrap();
    scene.wait_for_log(messages::FAILED).unwrap();
    scene.reload(&text("sh -c \"exit 8\"")).unwrap();
    scene.wait_for_log(&messages::state("failed", "stopped")).unwrap();
    // In the lines of the start and of the client.
    scene.expect_in_log_times(&messages::exit_code(7), 2).unwrap();
}

#[test]
fn the_manager_is_notified_of_a_reload() {
    let (place, echo) = (Place::new(0).unwrap(), Echo::start().unwrap());
    let text = format!("[services.web]\nlisten = '127.0.0.1:0'\nto = '{}'\n", echo.address);
    let scene = Scene::new(place, &text).unwrap();
    scene.reload(&text).unwrap();
    let reloading = scene.manager.wait_for("RELOADING", "1", SOON).unwrap();
    let micros: u64 = reloading.get("MONOTONIC_USEC").unwrap().parse().unwrap();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = u64::try_from(now.tv_sec).unwrap() * 1_000_000 + u64::try_from(now.tv_nsec).unwrap() / 1000;
    assert!(micros <= now && now - micros < 60_000_000, "{micros} at {now}");
}

#[test]
fn a_listener_that_cannot_be_opened_changes_nothing() {
    let (place, echo) = (Place::new(2).unwrap(), Echo::start().unwrap());
    let taken = Listener::bind(Family::Tcp4).unwrap();
    let service = |name: &str, listen: &str| {
        format!("[services.{name}]\nlisten = '{listen}'\nto = '{}'\n", echo.address)
    };
    let (web, new) = (place.port(0), place.port(1));
    let scene = Scene::new(place, &service("web", &web)).unwrap();
    let all =
        [service("web", "127.0.0.1:0"), service("new", &new), service("bad", &taken.address().to_string())];
    scene.reload(&all.concat()).unwrap();
    scene.wait_for_log(messages::ADDRESS_IN_USE).unwrap();
    scene.wait_for_log(messages::NOT_RELOADED).unwrap();
    scene.echo(&scene.client_of("web").unwrap(), "as before").unwrap();
    let refused = Stream::connect(&Address::Tcp(new.parse().unwrap()), SOON);
    scene.expect(refused.is_err(), "a listener of the refused configuration was opened");
    // The listener that was closed for the change is open again: another socket listens on another address of the
    // port.
    let port = web.rsplit_once(':').unwrap().1;
    let beside = Address::Tcp(format!("127.0.0.2:{port}").parse().unwrap());
    let _beside = Listener::bind_at(&beside).unwrap();
    scene.reload(&service("web", &format!("*:{port}"))).unwrap();
    let client = Stream::connect(&Address::Tcp(web.parse().unwrap()), SOON).unwrap();
    scene.echo(&client, "open again").unwrap();
    scene.expect(!scene.log().contains("was reloaded"), "the configuration was reloaded");
}

#[test]
fn a_removed_socket_file_is_made_again() {
    let (place, echo) = (Place::new(0).unwrap(), Echo::start().unwrap());
    let path = place.path("front");
    let text =
        format!("[services.web]\nlisten = ['127.0.0.1:0', '{}']\nto = '{}'\n", path.display(), echo.address);
    let scene = Scene::new(place, &text).unwrap();
    let session = scene.client_of("web").unwrap();
    std::fs::remove_file(&path).unwrap();
    scene.reload(&text).unwrap();
    scene.wait_for_log(&messages::reloaded("0 unchanged, 1 changed")).unwrap();
    let client = Stream::connect(&Address::Unix(path), SOON).unwrap();
    scene.echo(&client, "here again").unwrap();
    scene.echo(&session, "still").unwrap();
    scene.reload(&text).unwrap();
    scene.wait_for_log(&messages::reloaded("1 unchanged.")).unwrap();
}

#[test]
fn a_listener_may_change_between_one_and_all_addresses() {
    let (place, echo) = (Place::new(1).unwrap(), Echo::start().unwrap());
    let file = |listen: &str| format!("[services.web]\nlisten = '{listen}'\nto = '{}'\n", echo.address);
    let address = place.port(0);
    let (every, one) = (format!("*:{}", address.rsplit_once(':').unwrap().1), address.clone());
    let scene = Scene::new(place, &file(&one)).unwrap();
    for (round, listen) in [every, one].iter().enumerate() {
        scene.reload(&file(listen)).unwrap();
        scene.wait_for_log_times(&messages::reloaded("0 unchanged, 1 changed (web)"), round + 1).unwrap();
        let client = Stream::connect(&Address::Tcp(address.parse().unwrap()), SOON);
        let client = client.unwrap_or_else(|failure| panic!("{}", scene.dormouse.with_log(&failure)));
        scene.echo(&client, &format!("round {round}")).unwrap();
    }
}

#[test]
fn a_listener_moves_to_another_service_without_a_gap() {
    let (place, one, two) = (Place::new(1).unwrap(), Echo::start().unwrap(), Echo::start().unwrap());
    let file = |name: &str, to| format!("[services.{name}]\nlisten = '{}'\nto = '{to}'\n", place.port(0));
    let texts = [file("one", one.address), file("two", two.address)];
    let address = place.port(0).parse().unwrap();
    let scene = Scene::new(place, &texts[0]).unwrap();
    let load = Load::start(vec![address], 200);
    for round in 0..20 {
        let served = load.served();
        scene.reload(&texts[(round + 1) % 2]).unwrap();
        wait::until("clients", SOON, || Ok((load.served() > served).then_some(()))).unwrap();
    }
    load.finish().unwrap().all_served().unwrap_or_else(|failure| panic!("{failure}\n{}", scene.log()));
}

#[test]
fn an_awake_workload_is_not_restarted_for_changed_rules() {
    let place = Place::new(1).unwrap();
    let (to, exec) = (place.port(0), place.server_recording(0, "starts"));
    let file = |rules: &str| {
        format!(
            "[services.web]\nlisten = '127.0.0.1:0'\nto = '{to}'\nwake = {{ exec = \"{exec}\" }}\n{rules}\n"
        )
    };
    let scene = Scene::new(place, &file("idle = { minimum_uptime = 0 }")).unwrap();
    let session = scene.client_of("web").unwrap();
    scene.echo(&session, "awake").unwrap();
    for rules in ["maxconn = 7", "hold = { timeout = '7s' }", "idle = { stop = '7min', minimum_uptime = 0 }"]
    {
        scene.reload(&file(rules)).unwrap();
        scene.echo(&session, "as before").unwrap();
        scene.echo(&scene.client_of("web").unwrap(), "and now").unwrap();
    }
    scene.expect(scene.place.starts_in("starts") == 1, "the workload was restarted");
    // The new rules apply at once: the workload is idle and stops.
    drop(session);
    scene.reload(&file("idle = { stop = '50ms', minimum_uptime = 0 }")).unwrap();
    scene.wait_for_log(&messages::state_of("web", "stopping", "stopped")).unwrap();
    scene.echo(&scene.client_of("web").unwrap(), "again").unwrap();
    scene.expect(scene.place.starts_in("starts") == 2, "the workload was not started again");
}

#[test]
fn a_changed_activator_applies_from_the_next_start() {
    let place = Place::new(1).unwrap();
    let (old, new) = (place.server_recording(0, "old"), place.server_recording(0, "new"));
    let to = place.port(0);
    let file = |exec: &str| {
        format!(
            "restrict_self = false\n[services.web]\nlisten = '127.0.0.1:0'\nto = '{to}'\nwake = {{ exec = \"{exec}\" }}\n\
             idle = {{ stop = 'infinity', minimum_uptime = 0 }}\n"
        )
    };
    let scene = Scene::new(place, &file(&old)).unwrap();
    let session = scene.client_of("web").unwrap();
    scene.echo(&session, "the old one").unwrap();
    scene.reload(&file(&new)).unwrap();
    scene.echo(&session, "the old one still").unwrap();
    scene.expect(scene.place.starts_in("new") == 0, "two workloads run at once");
    drop(session);
    // The old workload is idle: the next client gets the new one.
    scene.wait_for_log(&messages::state_of("web", "stopping", "stopped")).unwrap();
    scene.echo(&scene.client_of("web").unwrap(), "the new one").unwrap();
    scene.expect(
        (scene.place.starts_in("old"), scene.place.starts_in("new")) == (1, 1),
        "the number of starts is wrong",
    );
}

#[test]
fn a_failed_start_is_retried_at_once_after_its_correction() {
    let place = Place::new(1).unwrap();
    let (to, good) = (place.port(0), place.server_recording(0, "starts"));
    let file = |exec: &str| {
        format!(
            "restrict_self = false\n[services.web]\nlisten = '127.0.0.1:0'\nto = '{to}'\nwake = {{ exec = \"{exec}\" }}\n"
        )
    };
    let scene = Scene::new(place, &file("/nonexistent/server")).unwrap();
    for _ in 0..2 {
        let client = scene.client_of("web").unwrap();
        scene.is_ended(&client, SOON).unwrap();
    }
    scene.reload(&file(&good)).unwrap();
    scene.echo(&scene.client_of("web").unwrap(), "mended").unwrap();
}

#[test]
fn a_removed_service_drains_and_its_workload_stops() {
    let place = Place::new(3).unwrap();
    let (exec, to, front) = (place.server_recording(0, "starts"), place.port(0), place.port(2));
    let other = format!("[services.other]\nlisten = '127.0.0.1:0'\nto = '{}'\n", place.port(1));
    let web = format!("[services.web]\nlisten = '{front}'\nto = '{to}'\nwake = {{ exec = \"{exec}\" }}\n");
    let scene = Scene::new(place, &format!("{other}{web}")).unwrap();
    let session = scene.client_of("web").unwrap();
    scene.echo(&session, "awake").unwrap();
    scene.reload(&other).unwrap();
    scene.wait_for_log(&messages::reloaded("1 unchanged, 1 removed (web)")).unwrap();
    let refused = Stream::connect(&Address::Tcp(front.parse().unwrap()), SOON);
    scene.expect(refused.is_err(), "the listener still accepts");
    // Without a drain timeout the session continues.
    std::thread::sleep(MOMENT);
    scene.echo(&session, "still here").unwrap();
    drop(session);
    let listens = || Stream::connect(&Address::Tcp(to.parse().unwrap()), SOON).is_ok();
    wait::until("end of the server", SOON, || Ok((!listens()).then_some(()))).unwrap();
    // The service may come back.
    scene.reload(&format!("{other}{web}")).unwrap();
    scene.echo(&scene.client_of("web").unwrap(), "back").unwrap();
    scene.expect(scene.place.starts_in("starts") == 2, "the number of starts is wrong");
}

#[test]
fn old_sessions_end_with_the_drain_timeout() {
    let (place, echo) = (Place::new(0).unwrap(), Echo::start().unwrap());
    let file = |rules: &str| {
        format!(
            "drain_timeout = '3s'\n[services.web]\nlisten = '127.0.0.1:0'\nto = '{}'\n{rules}\n",
            echo.address
        )
    };
    let scene = Scene::new(place, &file("")).unwrap();
    let old = scene.client_of("web").unwrap();
    scene.echo(&old, "under old rules").unwrap();
    let reloaded = Instant::now();
    scene.reload(&file("maxconn = 7")).unwrap();
    let new = scene.client_of("web").unwrap();
    scene.echo(&old, "still").unwrap();
    let ending = old.ended_within(SOON).unwrap();
    scene.expect(ending == Some(Ending::Reset), &format!("the terminated session ended by {ending:?}"));
    scene.expect(reloaded.elapsed() >= Duration::from_secs(3), "the session ended too soon");
    scene.wait_for_log(&format!("web: {} after 3s", messages::OLD_SESSION_ENDED)).unwrap();
    scene.echo(&new, "under new rules").unwrap();
    let status = scene.manager.wait_until("a status without the old session", SOON, |message| {
        message.get("STATUS").is_some_and(|status| status.contains("1 open, 2 accepted, 0 not served"))
    });
    status.unwrap_or_else(|failure| panic!("{failure}: {:?}", scene.manager.messages()));
}

#[test]
fn sessions_from_before_a_reload_do_not_count_against_the_new_limit() {
    let (place, echo) = (Place::new(0).unwrap(), Echo::start().unwrap());
    let file = |rules: &str| {
        format!("[services.web]\nlisten = '127.0.0.1:0'\nto = '{}'\nmaxconn = 2\n{rules}\n", echo.address)
    };
    let scene = Scene::new(place, &file("")).unwrap();
    let two = || {
        let clients = [scene.client_of("web").unwrap(), scene.client_of("web").unwrap()];
        for client in &clients {
            scene.echo(client, "served").unwrap();
        }
        clients
    };
    let old = two();
    scene.reload(&file("hold = { timeout = '7s' }")).unwrap();
    let newer = two();
    scene.reload(&file("hold = { timeout = '8s' }")).unwrap();
    let new = two();
    for client in old.iter().chain(&newer).chain(&new) {
        scene.echo(client, "still").unwrap();
    }
}

#[test]
fn a_held_client_stays_held_across_a_reload_and_is_served() {
    let place = Place::new(1).unwrap();
    let gate = place.path("start");
    let (to, exec) =
        (place.port(0), format!("{} start={}", place.server_recording(0, "starts"), gate.display()));
    let file = |rules: &str| {
        format!(
            "[services.web]\nlisten = '127.0.0.1:0'\nto = '{to}'\nwake = {{ exec = \"{exec}\" }}\n{rules}\n"
        )
    };
    let scene = Scene::new(place, &file("")).unwrap();
    let waits = scene.client_of("web").unwrap();
    waits.send(b"held", SOON).unwrap();
    scene.wait_for_log(&messages::output("web", "starts")).unwrap();
    scene.reload(&file("maxconn = 7")).unwrap();
    let later = scene.client_of("web").unwrap();
    later.send(b"later", SOON).unwrap();
    std::fs::write(gate, "").unwrap();
    assert_eq!(
        waits.receive(4, SOON).unwrap_or_else(|failure| panic!("{failure}\n{}", scene.log())),
        b"held"
    );
    assert_eq!(
        later.receive(5, SOON).unwrap_or_else(|failure| panic!("{failure}\n{}", scene.log())),
        b"later"
    );
    scene.expect(scene.place.starts_in("starts") == 1, "the workload was started twice");
}

/// Previous generations of a service exist for their old sessions, but only the current one runs checks.
#[test]
fn only_the_current_generation_of_a_service_checks_its_servers() {
    let place = Place::new(0).unwrap();
    let server = Listener::bind(Family::Tcp4).unwrap();
    let to = server.address().clone();
    let file = |rules: &str| {
        format!(
            "[services.web]\nlisten = '127.0.0.1:0'\nto = '{to}'\n\
             check = {{ inter = '20ms', fastinter = '20ms', downinter = '20ms', timeout = '10s', fall = 1 }}\n{rules}\n"
        )
    };
    let scene = Scene::new(place, &file("")).unwrap();
    let mut sessions = Vec::new();
    for generation in 1..=4 {
        let client = scene.client_of("web").unwrap();
        client.send(b"hello", SOON).unwrap();
        // Check connections send no data.
        let session = std::iter::repeat_with(|| server.accept(SOON).unwrap())
            .take(10_000)
            .find(|accepted| accepted.receive(5, SOON).is_ok_and(|received| received == b"hello"));
        scene.expect(session.is_some(), "no session");
        sessions.push((client, session));
        scene.reload(&file(&format!("maxconn = 10{generation}"))).unwrap();
        scene.wait_for_log_times(messages::RELOADED, generation).unwrap();
    }
    drop(server);
    scene.wait_for_log(&messages::down("web/server1")).unwrap();
    std::thread::sleep(MOMENT);
    let downs = scene.log().matches(&messages::down("web/server1")).count();
    scene.expect(downs == 1, &format!("{downs} generations check the server"));
    for (client, session) in &sessions {
        session.as_ref().unwrap().send(b"still", SOON).unwrap();
        assert_eq!(client.receive(5, SOON).unwrap(), b"still");
    }
}

/// Returns services of these names with start commands, each for one of the servers.
fn by_commands(place: &Place, servers: &[(&str, &Listener)], rules: &str) -> String {
    let service = |(name, server): &(&str, &Listener)| {
        let runs = place.path(&format!("{name}.runs"));
        format!(
            "[services.{name}]\nlisten = '127.0.0.1:0'\nto = '{}'\nidle = {{ {rules}, minimum_uptime = 0 }}\n\
             wake = {{ start = 'touch {runs}', stop = 'rm {runs}' }}\n",
            server.address(),
            runs = runs.display()
        )
    };
    servers.iter().map(service).collect()
}

#[test]
fn the_wake_state_is_saved_when_a_workload_stops_during_a_drain() {
    let place = Place::new(0).unwrap();
    let servers = [Listener::bind(Family::Tcp4).unwrap(), Listener::bind(Family::Tcp4).unwrap()];
    let services = by_commands(&place, &[("a", &servers[0]), ("b", &servers[1])], "stop = '50ms'");
    let mut scene = Scene::new(place, &format!("drain_timeout = '1h'\n{services}")).unwrap();
    let [first, second] = ["a", "b"].map(|name| scene.client_of(name).unwrap());
    scene.has_woken(&["a", "b"]).unwrap();
    scene.dormouse.signal(rustix::process::Signal::TERM).unwrap();
    let drains = |message: &dormouse_tests::notify::Message| message.get("STOPPING").is_some();
    scene.manager.wait_until("STOPPING=1", SOON, drains).unwrap();
    first.reset().unwrap();
    scene.has_woken(&["b"]).unwrap();
    second.reset().unwrap();
    assert!(scene.dormouse.wait(SOON).unwrap().success());
}

#[test]
fn the_wake_state_forgets_removed_workloads() {
    let place = Place::new(0).unwrap();
    let servers = [Listener::bind(Family::Tcp4).unwrap(), Listener::bind(Family::Tcp4).unwrap()];
    let rules = "stop = 'infinity'";
    let both = by_commands(&place, &[("a", &servers[0]), ("b", &servers[1])], rules);
    let one = by_commands(&place, &[("b", &servers[1])], rules);
    let scene = Scene::new(place, &both).unwrap();
    let [first, _second] = ["a", "b"].map(|name| scene.client_of(name).unwrap());
    scene.has_woken(&["a", "b"]).unwrap();
    first.reset().unwrap();
    scene.reload(&one).unwrap();
    scene.has_woken(&["b"]).unwrap();
}

#[test]
fn the_stop_timeout_is_extended_while_sessions_drain() {
    let (place, echo) = (Place::new(0).unwrap(), Echo::start().unwrap());
    let text =
        format!("drain_timeout = '1h'\n[services.web]\nlisten = '127.0.0.1:0'\nto = '{}'\n", echo.address);
    let mut scene = Scene::new(place, &text).unwrap();
    let session = scene.client_of("web").unwrap();
    scene.echo(&session, "open").unwrap();
    scene.dormouse.signal(rustix::process::Signal::TERM).unwrap();
    let asked = scene
        .manager
        .wait_until("EXTEND_TIMEOUT_USEC", SOON, |message| message.get("EXTEND_TIMEOUT_USEC").is_some());
    let asked: u64 = asked.unwrap().get("EXTEND_TIMEOUT_USEC").unwrap().parse().unwrap();
    scene.expect((5_000_000..60_000_000).contains(&asked), &format!("{asked} µs were requested"));
    scene.echo(&session, "still open").unwrap();
    drop(session);
    assert!(scene.dormouse.wait(SOON).unwrap().success());
}
