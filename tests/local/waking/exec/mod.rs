//! `dormouse run` with child processes as workloads.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as its body does"
)]

mod rounds;
mod sandbox;
pub(crate) mod scene;
mod short_runs;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use dormouse_tests::Result;
use dormouse_tests::failure::Doing;
use dormouse_tests::messages;
use dormouse_tests::process::Launch;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::until;
use rustix::process::Signal;

use self::scene::{LIMIT, Process, Scene};

#[test]
fn a_workload_wakes_sleeps_and_wakes_again() {
    let scene = Scene::new("well", &["--idle=100ms"]).unwrap();
    for round in 1..=3 {
        scene.while_served("hello\n", || scene.server(round)).ended();
    }
    assert_eq!(scene.starts().len(), 3);
    assert!(!scene.log().contains("ended"), "an orderly stop was reported as a failure\n{}", scene.log());
}

#[test]
fn a_workload_that_ignores_sigterm_is_killed() {
    let scene = Scene::new("stubborn", &["--idle=50ms", "--stop-timeout=200ms"]).unwrap();
    for round in 1..=2 {
        scene.while_served("hello\n", || scene.server(round)).ended();
        scene.wait_for_log_times(messages::KILLED_LATE, round).unwrap();
    }
}

#[test]
fn a_frozen_workload_is_thawed_for_a_client_and_can_be_stopped() {
    let scene = Scene::new("well", &["--freeze=50ms", "--idle=1s"]).unwrap();
    scene.served("one\n");
    let server = scene.server(1);
    scene.wait_for_log(messages::FROZEN).unwrap();
    scene.served("two\n");
    assert_eq!(scene.starts().len(), 1, "{}", scene.log());
    server.ended();
    scene.served("three\n");
    assert_eq!(scene.starts().len(), 2);
}

#[test]
fn a_crash_during_the_start_ends_held_clients_and_is_reported() {
    let scene = Scene::new("crash", &[]).unwrap();
    scene.refused("hello\n");
    scene.wait_for_log(&messages::exited(3, "cannot open the database")).unwrap();
    scene.refused("hello\n");
    assert_eq!(scene.starts().len(), 1, "the workload was started again at once");
    // dormouse tries the start again later.
    let again = until("another start", LIMIT, || {
        scene.refused("hello\n");
        Ok((scene.starts().len() > 1).then_some(()))
    });
    again.unwrap_or_else(|failure| panic!("{failure}\n{}", scene.log()));
}

#[test]
fn a_missing_program_is_reported_with_a_remedy() {
    let scene =
        Scene::with(Launch::dormouse(), TempDir::new().unwrap(), &["--exec=/nonexistent/server"]).unwrap();
    scene.refused("hello\n");
    scene.wait_for_log(messages::CHECK_THE_PATH).unwrap();
}

#[test]
fn a_limit_of_descriptors_that_is_too_low_is_an_error() {
    let scene = Scene::launch(Launch::dormouse().nofile(32, 32), "well", &[]).unwrap();
    scene.refused("hello\n");
    scene.wait_for_log(&format!("the limit of 32 {}", messages::TOO_FEW_DESCRIPTORS)).unwrap();
    scene.wait_for_log(messages::RAISE_DESCRIPTORS).unwrap();
    assert!(scene.starts().is_empty());
}

#[test]
fn an_exit_with_success_before_readiness_is_reported_with_a_remedy() {
    let scene = Scene::with(Launch::dormouse(), TempDir::new().unwrap(), &["--exec=true"]).unwrap();
    scene.refused("hello\n");
    scene.wait_for_log(messages::ENDED_BEFORE_READY).unwrap();
}

#[test]
fn a_workload_that_never_gets_ready_holds_clients_only_for_the_hold_timeout() {
    let scene = Scene::new("deaf", &["--hold=300ms", "--start-timeout=1s", "--stop-timeout=200ms"]).unwrap();
    scene.refused("hello\n");
    scene.wait_for_log(messages::NOT_READY_IN_TIME).unwrap();
    let server = scene.server(1);
    scene.wait_for_log(messages::FAILED).unwrap();
    server.ended();
}

#[test]
fn a_workload_killed_during_a_session_ends_it_and_is_woken_by_the_next_client() {
    let scene = Scene::new("lasting", &[]).unwrap();
    let mut client = scene.hello().unwrap();
    scene.server(1).kill();
    let mut received = Vec::new();
    // A FIN or a reset, but no hang.
    let ended = client.read_to_end(&mut received);
    assert!(received.is_empty(), "{ended:?} {received:?}");
    scene.wait_for_log(messages::KILLED).unwrap();
    until("an answer", LIMIT, || Ok(scene.hello().ok()))
        .unwrap_or_else(|failure| panic!("{failure}\n{}", scene.log()));
    assert_eq!(scene.starts().len(), 2);
}

#[test]
fn a_workload_killed_during_its_start_ends_held_clients_and_is_woken_by_the_next() {
    let scene = Scene::new("stuck", &[]).unwrap();
    let mut client = scene.connect().unwrap();
    client.write_all(b"hello\n").unwrap();
    scene.server(1).kill();
    let mut received = Vec::new();
    let ended = client.read_to_end(&mut received);
    assert!(received.is_empty(), "{ended:?} {received:?}");
    scene.wait_for_log(messages::KILLED).unwrap();
}

#[test]
fn a_killed_guard_ends_the_workload_and_the_next_client_wakes_it() {
    let scene = Scene::new("well", &[]).unwrap();
    scene.served("hello\n");
    let server = scene.server(1);
    guard_of(&server).kill();
    server.ended();
    scene.wait_for_log(messages::GUARD_KILLED).unwrap();
    scene.served_again("hello\n");
}

#[test]
fn the_workload_ends_when_dormouse_is_killed() {
    for how in ["well", "stubborn", "stuck"] {
        let scene = Scene::new(how, &["--stop-timeout=200ms"]).unwrap();
        let mut client = scene.connect().unwrap();
        client.write_all(b"hello\n").unwrap();
        let server = scene.server(1);
        let guard = guard_of(&server);
        scene.dormouse.signal(Signal::KILL).unwrap();
        server.ended();
        guard.ended();
    }
}

#[test]
fn the_workload_is_stopped_at_the_exit_of_dormouse() {
    let mut scene = Scene::new("well", &[]).unwrap();
    scene.served("hello\n");
    let server = scene.server(1);
    scene.dormouse.signal(Signal::TERM).unwrap();
    let status = scene.dormouse.wait(LIMIT).unwrap();
    assert!(status.success(), "{status}\n{}", scene.log());
    server.ended();
}

impl Scene {
    /// Opens a session and waits for its first answer.
    fn hello(&self) -> Result<TcpStream> {
        let mut client = self.connect()?;
        client.write_all(b"hello\n").doing(|| "send".to_owned())?;
        let mut received = [0; 6];
        client.read_exact(&mut received).doing(|| "receive".to_owned())?;
        Ok(client)
    }
}

#[track_caller]
fn guard_of(server: &Process) -> Process {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid)).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap_or_default();
    Process::new(parent.trim().parse().unwrap_or_default())
}
