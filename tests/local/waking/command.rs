//! `dormouse run` with start, stop and status commands.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as its body does"
)]

use std::fs;

use dormouse_tests::messages;
use dormouse_tests::process::{Launch, ListenPid};
use dormouse_tests::rig::DAEMON;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::until;

use crate::exec::scene::{LIMIT, Process, Scene};

struct Commands {
    scene: Scene,
}

impl Commands {
    fn new(flags: &[&str], with_status: bool) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().display();
        fs::write(dir.join("server.py"), DAEMON).unwrap();
        let start = format!("--start=python3 -S -E {path}/server.py {path}/socket {path}/pid");
        // The stop command waits for the end of the server. Otherwise the next start would meet the old server. In a
        // container without an init process nobody reaps it.
        let stop = format!(
            "--stop=sh -c 'read server <{path}/pid; kill $server; \
             while case \"$(cat /proc/$server/stat 2>&-)\" in \"\"|*\") Z \"*) false;; esac; do sleep 0.01; done; \
             rm {path}/pid'"
        );
        let status = format!("--status=sh -c 'kill -0 $(cat {path}/pid)'");
        let mut all: Vec<&str> = flags.to_vec();
        all.extend([start.as_str(), stop.as_str()]);
        if with_status {
            all.push(&status);
        }
        Self { scene: Scene::with(Launch::dormouse(), dir, &all).unwrap() }
    }

    /// Waits for the pid file and returns the server.
    fn server(&self) -> Process {
        let pid = until("a pid file", LIMIT, || {
            let text = fs::read_to_string(self.scene.dir.join("pid")).unwrap_or_default();
            Ok(text.parse().ok())
        });
        Process::new(pid.unwrap_or_else(|failure| panic!("{failure}\n{}", self.scene.log())))
    }

    /// Waits for the end of the stop command.
    fn stopped(&self) {
        let pid = self.scene.dir.join("pid");
        until("the end of the stop", LIMIT, || Ok((!pid.exists()).then_some(()))).unwrap();
    }
}

#[test]
fn commands_start_and_stop_the_workload() {
    for with_status in [false, true] {
        let commands = Commands::new(&["--idle=300ms"], with_status);
        for _ in 0..2 {
            commands.scene.while_served("hello\n", || commands.server()).ended();
            commands.stopped();
        }
    }
}

#[test]
fn a_workload_started_by_a_command_outlives_a_killed_dormouse() {
    let commands = Commands::new(&[], true);
    commands.scene.served("hello\n");
    let server = commands.server();
    commands.scene.dormouse.signal(rustix::process::Signal::KILL).unwrap();
    let socket = commands.scene.dir.join("socket");
    std::os::unix::net::UnixStream::connect(socket).unwrap();
    server.kill();
    server.ended();
}

#[test]
fn a_command_gets_no_descriptor_that_dormouse_does_not_know() {
    let dir = TempDir::new().unwrap();
    let list = dir.join("list");
    let start = format!("--start=sh -c 'ls -l /proc/$$/fd >{0}.new; mv {0}.new {0}; exit 7'", list.display());
    let inherited = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // The socket is meant for another process, so dormouse does not take it.
    let launch = Launch::dormouse().pass(&inherited).listen_pid(ListenPid::Text("1".to_owned()));
    let scene = Scene::with(launch, dir, &[&start, "--stop=true"]).unwrap();
    scene.refused("hello\n");
    let open = until("a list", LIMIT, || Ok(fs::read_to_string(&list).ok())).unwrap();
    assert!(open.contains("/dev/null") && !open.contains("socket:"), "{open}");
}

#[test]
fn a_failed_start_command_ends_held_clients_and_is_reported() {
    let flags = ["--start=sh -c 'echo no such machine; exit 7'", "--stop=true"];
    let scene = Scene::with(Launch::dormouse(), TempDir::new().unwrap(), &flags).unwrap();
    scene.refused("hello\n");
    scene.wait_for_log(&messages::start_command_failed(7, "no such machine")).unwrap();
}
