//! Recovery of woken workloads by the next dormouse process after a crash.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as its body does"
)]

use std::fs;

use dormouse_tests::messages;
use dormouse_tests::process::Launch;
use dormouse_tests::rig::DAEMON;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::until;
use rustix::process::Signal;

use crate::exec::scene::{LIMIT, Process, Scene};

/// A server that outlives dormouse but is killed at the end of the test.
struct Server(Process);

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.kill();
        }
    }
}

/// Starts dormouse with start and stop commands and with its runtime directory in this directory.
fn dormouse(dir: TempDir, flags: &[&str]) -> Scene {
    let path = dir.path().display().to_string();
    let pid = format!("$(cat {path}/pid)");
    let commands = [
        format!("--start=python3 -S -E {path}/server.py {path}/socket {path}/pid"),
        format!("--stop=sh -c 'kill {pid}; while kill -0 {pid} 2>&-; do sleep 0.01; done'"),
        format!("--status=sh -c 'kill -0 {pid}'"),
        format!("--freeze-command=sh -c 'kill -STOP {pid}'"),
        format!("--thaw=sh -c 'kill -CONT {pid}'"),
    ];
    let flags: Vec<&str> = commands.iter().map(String::as_str).chain(flags.iter().copied()).collect();
    Scene::with(Launch::dormouse().env("RUNTIME_DIRECTORY", &path), dir, &flags).unwrap()
}

/// Starts a server through dormouse, kills dormouse and returns the server.
fn killed(flags: &[&str], when: &str) -> (TempDir, Server) {
    let dir = TempDir::new().unwrap();
    fs::write(dir.join("server.py"), DAEMON).unwrap();
    let scene = dormouse(dir, flags);
    scene.served("hello\n");
    scene.wait_for_log(when).unwrap();
    let server = Server(Process::new(fs::read_to_string(scene.dir.join("pid")).unwrap().parse().unwrap()));
    until("the saved wake state", LIMIT, || {
        // The first and the last line contain no servers.
        let written = fs::read_to_string(scene.dir.join("woken")).unwrap_or_default();
        Ok((written.lines().count() > 2).then_some(()))
    })
    .unwrap();
    scene.dormouse.signal(Signal::KILL).unwrap();
    let Scene { dir, .. } = scene;
    (dir, server)
}

#[test]
fn a_workload_started_by_a_command_is_stopped_after_a_crash() {
    let (dir, server) = killed(&["--idle=1h"], "ready after");
    // No client connects any more.
    let scene = dormouse(dir, &["--idle=100ms"]);
    server.0.ended();
    scene.wait_for_log(&messages::state("stopping", "stopped")).unwrap();
}

#[test]
fn a_workload_frozen_by_a_command_is_thawed_after_a_crash() {
    for asked in [true, false] {
        let (dir, server) = killed(&["--freeze=50ms", "--idle=1h"], "freezing → frozen");
        let scene = dormouse(dir, &["--idle=100ms"]);
        if asked {
            scene.served("hello again\n");
        }
        server.0.ended();
        assert_eq!(scene.log().matches(messages::TO_BE_THAWED).count(), 0, "{}", scene.log());
    }
}

#[test]
fn an_unwritable_wake_state_is_reported_and_services_work() {
    let dir = TempDir::new().unwrap();
    // Dormouse creates the directory itself, but not the one above it.
    let missing = dir.join("missing/directory");
    let launch = Launch::dormouse().env("RUNTIME_DIRECTORY", missing);
    let scene = Scene::launch(launch, "well", &["--idle=100ms"]).unwrap();
    scene.wait_for_log(&format!("{}: No such file", messages::CANNOT_SAVE_WAKE_STATE)).unwrap();
    scene.served("hello\n");
    scene.wait_for_log(&messages::state("stopping", "stopped")).unwrap();
}
