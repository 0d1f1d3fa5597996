//! `dormouse run` with programs behind it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as its body does"
)]

mod rounds;
pub(crate) mod scene;

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
fn it_wakes_sleeps_and_wakes_again() {
    let scene = Scene::new("well", &["--idle=100ms"]).unwrap();
    for round in 1..=3 {
        scene.while_served("hello\n", || scene.server(round)).ended();
    }
    assert_eq!(scene.starts().len(), 3);
    assert!(!scene.log().contains("ended"), "an orderly stop is no failure\n{}", scene.log());
}

#[test]
fn one_that_ignores_sigterm_is_killed() {
    let scene = Scene::new("stubborn", &["--idle=50ms", "--stop-timeout=200ms"]).unwrap();
    for round in 1..=2 {
        scene.while_served("hello\n", || scene.server(round)).ended();
    }
}

#[test]
fn frozen_it_answers_at_once_and_frozen_it_can_be_stopped() {
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
fn one_that_crashes_at_the_start_ends_who_waits_and_tells_why() {
    let scene = Scene::new("crash", &[]).unwrap();
    scene.refused("hello\n");
    scene.wait_for_log(&messages::exited(3, "cannot open the database")).unwrap();
    scene.refused("hello\n");
    assert_eq!(scene.starts().len(), 1, "it was started again at once");
    // The socket is never dead: later it is tried again.
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
fn a_program_that_exits_before_it_is_ready_is_reported_with_a_remedy() {
    let scene = Scene::with(Launch::dormouse(), TempDir::new().unwrap(), &["--exec=true"]).unwrap();
    scene.refused("hello\n");
    scene.wait_for_log(messages::ENDED_BEFORE_READY).unwrap();
}

#[test]
fn one_that_never_gets_ready_does_not_hold_clients_for_ever() {
    let scene = Scene::new("deaf", &["--hold=300ms", "--start-timeout=1s", "--stop-timeout=200ms"]).unwrap();
    scene.refused("hello\n");
    scene.wait_for_log(messages::NOT_READY_IN_TIME).unwrap();
    let server = scene.server(1);
    scene.wait_for_log(messages::FAILED).unwrap();
    server.ended();
}

#[test]
fn killed_in_mid_session_its_clients_know_and_the_next_one_wakes_it() {
    let scene = Scene::new("lasting", &[]).unwrap();
    let mut client = scene.hello().unwrap();
    scene.server(1).kill();
    let mut heard = Vec::new();
    // An end or a reset, but no silence.
    let ended = client.read_to_end(&mut heard);
    assert!(heard.is_empty(), "{ended:?} {heard:?}");
    scene.wait_for_log(messages::KILLED).unwrap();
    until("an answer", LIMIT, || Ok(scene.hello().ok()))
        .unwrap_or_else(|failure| panic!("{failure}\n{}", scene.log()));
    assert_eq!(scene.starts().len(), 2);
}

#[test]
fn killed_in_mid_start_who_waits_is_ended_and_the_next_one_wakes_it() {
    let scene = Scene::new("stuck", &[]).unwrap();
    let mut client = scene.connect().unwrap();
    client.write_all(b"hello\n").unwrap();
    scene.server(1).kill();
    let mut heard = Vec::new();
    let ended = client.read_to_end(&mut heard);
    assert!(heard.is_empty(), "{ended:?} {heard:?}");
    scene.wait_for_log(messages::KILLED).unwrap();
}

#[test]
fn its_guard_killed_all_of_it_is_gone_and_the_next_one_wakes_it() {
    let scene = Scene::new("well", &[]).unwrap();
    scene.served("hello\n");
    let server = scene.server(1);
    guard_of(&server).kill();
    server.ended();
    scene.wait_for_log(messages::GUARD_KILLED).unwrap();
    scene.served_again("hello\n");
}

#[test]
fn nothing_is_left_when_dormouse_is_killed() {
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
fn dormouse_stops_its_servers_at_sigterm() {
    let mut scene = Scene::new("well", &[]).unwrap();
    scene.served("hello\n");
    let server = scene.server(1);
    scene.dormouse.signal(Signal::TERM).unwrap();
    let status = scene.dormouse.wait(LIMIT).unwrap();
    assert!(status.success(), "{status}\n{}", scene.log());
    server.ended();
}

impl Scene {
    /// A session that has its first answer.
    fn hello(&self) -> Result<TcpStream> {
        let mut client = self.connect()?;
        client.write_all(b"hello\n").doing(|| "send".to_owned())?;
        let mut heard = [0; 6];
        client.read_exact(&mut heard).doing(|| "receive".to_owned())?;
        Ok(client)
    }
}

#[track_caller]
fn guard_of(server: &Process) -> Process {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid)).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap_or_default();
    Process::new(parent.trim().parse().unwrap_or_default())
}
