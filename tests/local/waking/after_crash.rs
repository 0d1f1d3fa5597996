//! What a dormouse that was killed had woken, and the one that comes after it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as its body does"
)]

use std::fs;

use dormouse_tests::messages;
use dormouse_tests::process::Launch;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::until;
use rustix::process::Signal;

use crate::command::SERVER;
use crate::exec::scene::{LIMIT, Process, Scene};

/// A server that outlives whoever started it, but no test.
struct Server(Process);

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.kill();
        }
    }
}

/// A service of commands in this directory, with the memory there, too.
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

/// A dormouse that was killed while it had a server, and the server.
fn killed(flags: &[&str], when: &str) -> (TempDir, Server) {
    let dir = TempDir::new().unwrap();
    fs::write(dir.join("server.py"), SERVER).unwrap();
    let scene = dormouse(dir, flags);
    scene.served("hello\n");
    scene.wait_for_log(when).unwrap();
    let server = Server(Process::new(fs::read_to_string(scene.dir.join("pid")).unwrap().parse().unwrap()));
    until("that it is written down", LIMIT, || {
        // The first line and the last say nothing of servers.
        let written = fs::read_to_string(scene.dir.join("woken")).unwrap_or_default();
        Ok((written.lines().count() > 2).then_some(()))
    })
    .unwrap();
    scene.dormouse.signal(Signal::KILL).unwrap();
    let Scene { dir, .. } = scene;
    (dir, server)
}

#[test]
fn what_a_command_started_is_put_to_sleep_in_time() {
    let (dir, server) = killed(&["--idle=1h"], "ready after");
    // Nobody asks for it any more.
    let scene = dormouse(dir, &["--idle=100ms"]);
    server.0.ended();
    scene.wait_for_log(&messages::state("stopping", "stopped")).unwrap();
}

#[test]
fn what_a_command_has_frozen_is_thawed() {
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
fn where_nothing_can_be_written_down_it_works_and_says_so() {
    let dir = TempDir::new().unwrap();
    let missing = dir.join("missing");
    let launch = Launch::dormouse().env("RUNTIME_DIRECTORY", missing);
    let scene = Scene::launch(launch, "well", &["--idle=100ms"]).unwrap();
    scene.wait_for_log(&format!("{}: No such file", messages::CANNOT_SAVE_WAKE_STATE)).unwrap();
    scene.served("hello\n");
    scene.wait_for_log(&messages::state("stopping", "stopped")).unwrap();
}
