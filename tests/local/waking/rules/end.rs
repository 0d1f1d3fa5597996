//! How `dormouse run` itself ends.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use dormouse_tests::messages;
use dormouse_tests::process::Launch;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Ending, Failure, Family, Listener, Result, wait};
use rustix::process::Signal;

use super::scene::{MOMENT, Place, Scene};

/// The processes that servers were.
fn processes(scene: &Scene) -> Vec<PathBuf> {
    let pids = String::from_utf8(scene.place.read("pids")).unwrap();
    pids.lines().map(|pid| PathBuf::from(format!("/proc/{pid}"))).collect()
}

fn none_is_left(scene: &Scene) -> Result<()> {
    let all = processes(scene);
    if all.is_empty() {
        return Err(Failure::Unexpected("no process was ever there".to_owned()));
    }
    wait::until("end of all servers", SOON, || Ok(all.iter().all(|process| !process.exists()).then_some(())))
}

/// What it has started is stopped when it is told to end, whatever state that is in.
fn ends_in_good_order(options: &[&str], flags: &[&str], state: &str) {
    let mut scene = Scene::new(&[options, &["pids"]].concat(), flags).unwrap();
    let client = scene.client().unwrap();
    client.send(b"hello", SOON).unwrap();
    scene.wait_for_log(state).unwrap();
    let told = Instant::now();
    scene.dormouse.signal(Signal::TERM).unwrap();
    let status = scene.dormouse.wait(SOON).unwrap();
    scene.expect(status.success(), "not in good order");
    scene.expect(told.elapsed() < Duration::from_secs(20), "it took long");
    let left = processes(&scene);
    scene.expect(left.iter().all(|process| !process.exists()), "a server is left");
    assert!(!left.is_empty());
    let _ = client.receive_to_end(SOON);
    scene.expect(client.ended_within(SOON).unwrap().is_some(), "the client is left");
}

#[test]
fn what_is_used_is_stopped() {
    ends_in_good_order(&[], &[], "main| accepted");
}

#[test]
fn what_is_starting_is_stopped() {
    ends_in_good_order(&["start"], &[], "main| starts");
}

#[test]
fn what_is_frozen_is_stopped() {
    ends_in_good_order(&[], &["--freeze=200ms", "--quiet=200ms"], "freezing → frozen");
}

#[test]
fn what_is_stopping_is_stopped() {
    ends_in_good_order(
        &["ignore=1"],
        &["--idle=100ms", "--quiet=100ms", "--stop-timeout=1s"],
        "main| ignores SIGTERM",
    );
}

#[test]
fn what_does_not_want_to_end_is_killed() {
    ends_in_good_order(&["ignore=1"], &["--stop-timeout=1s"], "main| accepted");
}

#[test]
fn what_a_command_has_started_is_stopped_by_a_command() {
    let server = Listener::bind(Family::Tcp4).unwrap();
    let place = Place::new(0).unwrap();
    let runs = place.path("runs");
    let launch = Launch::dormouse()
        .args(["run", "--listen=127.0.0.1:0"])
        .arg(format!("--to={}", server.address()))
        .arg(format!("--start=touch {}", runs.display()))
        .arg(format!("--stop=rm {}", runs.display()));
    let mut scene = Scene::launch(place, launch).unwrap();
    let _client = scene.client().unwrap();
    scene.wait_for_log(&messages::ready("main")).unwrap();
    scene.expect(runs.exists(), "not started");
    scene.dormouse.signal(Signal::TERM).unwrap();
    assert!(scene.dormouse.wait(SOON).unwrap().success());
    scene.expect(!runs.exists(), "left running");
}

#[test]
fn with_nothing_awake_it_ends_at_once() {
    let mut scene = Scene::new(&[], &[]).unwrap();
    scene.dormouse.signal(Signal::TERM).unwrap();
    assert!(scene.dormouse.wait(SOON).unwrap().success());
    assert_eq!(scene.place.starts(), 0);
}

#[test]
fn a_second_sigterm_ends_it_at_once() {
    let mut scene = Scene::new(&["ignore=1", "pids"], &["--stop-timeout=30s"]).unwrap();
    let client = scene.client().unwrap();
    scene.echo(&client, "hello").unwrap();
    scene.dormouse.signal(Signal::TERM).unwrap();
    scene.wait_for_log(&messages::output("main", "ignores SIGTERM")).unwrap();
    let told = Instant::now();
    scene.dormouse.signal(Signal::TERM).unwrap();
    wait::until("end of dormouse", SOON, || Ok((!scene.dormouse.is_running()?).then_some(()))).unwrap();
    scene.expect(told.elapsed() < Duration::from_secs(20), "it took long");
    // Its guard still gives the server its time; nobody has to wait for that here.
    for process in processes(&scene) {
        let pid = process.file_name().unwrap().to_owned();
        dormouse_tests::process::kill(&pid.to_string_lossy()).unwrap();
    }
    none_is_left(&scene).unwrap();
}

#[test]
fn a_second_sigterm_ends_the_drain_and_all_else() {
    let mut scene = Scene::new(&["pids"], &["--drain-timeout=1min"]).unwrap();
    let client = scene.client().unwrap();
    scene.echo(&client, "hello").unwrap();
    scene.dormouse.signal(Signal::TERM).unwrap();
    // The session is still served: the first word has been heard as "no more", not as "at once".
    scene.echo(&client, "still here").unwrap();
    let told = Instant::now();
    scene.dormouse.signal(Signal::TERM).unwrap();
    assert!(scene.dormouse.wait(SOON).unwrap().success());
    scene.expect(told.elapsed() < Duration::from_secs(20), "it took long");
    none_is_left(&scene).unwrap();
}

#[test]
fn sessions_may_go_on_for_the_time_that_was_granted() {
    let mut scene = Scene::new(&["pids"], &["--drain-timeout=20s"]).unwrap();
    let client = scene.client().unwrap();
    scene.echo(&client, "hello").unwrap();
    scene.dormouse.signal(Signal::TERM).unwrap();
    scene.expect(client.ended_within(MOMENT).unwrap().is_none(), "ended");
    scene.echo(&client, "goodbye").unwrap();
    client.finish().unwrap();
    assert_eq!(client.receive_to_end(SOON).unwrap().ending, Ending::Fin);
    assert!(scene.dormouse.wait(SOON).unwrap().success());
    none_is_left(&scene).unwrap();
}

/// By it `HAProxy` is told to end softly.
#[test]
fn sigusr1_is_as_sigterm() {
    let mut scene = Scene::new(&["pids"], &["--drain-timeout=1min"]).unwrap();
    let client = scene.client().unwrap();
    scene.echo(&client, "hello").unwrap();
    scene.dormouse.signal(Signal::USR1).unwrap();
    scene.expect(client.ended_within(MOMENT).unwrap().is_none(), "ended");
    scene.echo(&client, "still here").unwrap();
    scene.dormouse.signal(Signal::USR1).unwrap();
    assert!(scene.dormouse.wait(SOON).unwrap().success());
    none_is_left(&scene).unwrap();
}

#[test]
fn a_killed_dormouse_leaves_nothing_behind() {
    let scene = Scene::new(&["pids"], &[]).unwrap();
    scene.visit("hello").unwrap();
    scene.dormouse.signal(Signal::KILL).unwrap();
    none_is_left(&scene).unwrap();
}
