//! The exit of `dormouse run`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use dormouse_tests::messages;
use dormouse_tests::process::Launch;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Ending, Failure, Family, Listener, Result, wait};
use rustix::process::Signal;

use super::scene::{MOMENT, Place, Scene};

/// Returns the /proc paths of all started servers.
fn processes(scene: &Scene) -> Vec<PathBuf> {
    let pids = String::from_utf8(scene.place.read("pids")).unwrap();
    pids.lines().map(|pid| PathBuf::from(format!("/proc/{pid}"))).collect()
}

fn none_is_left(scene: &Scene) -> Result<()> {
    let all = processes(scene);
    if all.is_empty() {
        return Err(Failure::Unexpected("no process was started".to_owned()));
    }
    wait::until("end of all servers", SOON, || Ok(all.iter().all(|process| !process.exists()).then_some(())))
}

/// Asserts that SIGTERM stops the started workload in this state.
fn ends_in_good_order(options: &[&str], flags: &[&str], state: &str) {
    let mut scene = Scene::new(&[options, &["pids"]].concat(), flags).unwrap();
    let client = scene.client().unwrap();
    client.send(b"hello", SOON).unwrap();
    scene.wait_for_log(state).unwrap();
    let signalled = Instant::now();
    scene.dormouse.signal(Signal::TERM).unwrap();
    let status = scene.dormouse.wait(SOON).unwrap();
    scene.expect(status.success(), "the exit status is not success");
    scene.wait_for_log(messages::ENDING).unwrap();
    scene.wait_for_log(&format!("{}main.", messages::STOPPING_WORKLOADS)).unwrap();
    scene.expect(signalled.elapsed() < Duration::from_secs(20), "the exit took too long");
    let left = processes(&scene);
    scene.expect(left.iter().all(|process| !process.exists()), "a server still runs");
    assert!(!left.is_empty());
    let _ = client.receive_to_end(SOON);
    scene.expect(client.ended_within(SOON).unwrap().is_some(), "the client is still connected");
}

#[test]
fn a_used_workload_is_stopped_at_the_exit() {
    ends_in_good_order(&[], &[], "main| accepted");
}

#[test]
fn a_starting_workload_is_stopped_at_the_exit() {
    ends_in_good_order(&["start"], &[], "main| starts");
}

#[test]
fn a_frozen_workload_is_stopped_at_the_exit() {
    ends_in_good_order(&[], &["--freeze=200ms", "--quiet=200ms"], "freezing → frozen");
}

#[test]
fn a_stopping_workload_is_stopped_at_the_exit() {
    ends_in_good_order(
        &["ignore=1"],
        &["--idle=100ms", "--quiet=100ms", "--stop-timeout=1s"],
        "main| ignores SIGTERM",
    );
}

#[test]
fn a_workload_that_does_not_stop_is_killed_at_the_exit() {
    ends_in_good_order(&["ignore=1"], &["--stop-timeout=1s"], "main| accepted");
}

#[test]
fn a_workload_started_by_a_command_is_stopped_by_a_command() {
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
fn dormouse_exits_at_once_if_no_workload_is_awake() {
    let mut scene = Scene::new(&[], &[]).unwrap();
    scene.dormouse.signal(Signal::TERM).unwrap();
    assert!(scene.dormouse.wait(SOON).unwrap().success());
    assert_eq!(scene.place.starts(), 0);
}

#[test]
fn a_second_sigterm_ends_dormouse_at_once() {
    let mut scene = Scene::new(&["ignore=1", "pids"], &["--stop-timeout=30s"]).unwrap();
    let client = scene.client().unwrap();
    scene.echo(&client, "hello").unwrap();
    scene.dormouse.signal(Signal::TERM).unwrap();
    scene.wait_for_log(&messages::output("main", "ignores SIGTERM")).unwrap();
    let signalled = Instant::now();
    scene.dormouse.signal(Signal::TERM).unwrap();
    wait::until("end of dormouse", SOON, || Ok((!scene.dormouse.is_running()?).then_some(()))).unwrap();
    scene.expect(signalled.elapsed() < Duration::from_secs(20), "the exit took too long");
    // The guard still waits for the server's stop timeout; the test need not.
    for process in processes(&scene) {
        let pid = process.file_name().unwrap().to_owned();
        dormouse_tests::process::kill(&pid.to_string_lossy()).unwrap();
    }
    none_is_left(&scene).unwrap();
}

#[test]
fn a_second_sigterm_ends_the_drain_and_the_sessions() {
    let mut scene = Scene::new(&["pids"], &["--drain-timeout=1min"]).unwrap();
    let client = scene.client().unwrap();
    scene.echo(&client, "hello").unwrap();
    scene.dormouse.signal(Signal::TERM).unwrap();
    // The session is still served: the first SIGTERM only stops new clients.
    scene.echo(&client, "still here").unwrap();
    let signalled = Instant::now();
    scene.dormouse.signal(Signal::TERM).unwrap();
    assert!(scene.dormouse.wait(SOON).unwrap().success());
    scene.expect(signalled.elapsed() < Duration::from_secs(20), "the exit took too long");
    none_is_left(&scene).unwrap();
}

#[test]
fn sessions_continue_until_the_drain_timeout() {
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

/// `HAProxy` stops gracefully on SIGUSR1.
#[test]
fn sigusr1_drains_as_sigterm_does() {
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
fn a_killed_dormouse_leaves_no_workload_running() {
    let scene = Scene::new(&["pids"], &[]).unwrap();
    scene.visit("hello").unwrap();
    scene.dormouse.signal(Signal::KILL).unwrap();
    none_is_left(&scene).unwrap();
}
