//! Workloads of `dormouse run` that need an installed server or root.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;

use dormouse_tests::Result;
use dormouse_tests::failure::Doing;
use dormouse_tests::messages;
use dormouse_tests::process::Launch;
use dormouse_tests::temp::TempDir;
use dormouse_tests::wait::until;

use super::scene::{LIMIT, Process, Scene};

#[test]
fn a_daemon_that_forks_is_one_workload_with_its_children() {
    let dir = TempDir::new().unwrap();
    let exec = format!(
        "--exec=redis-server --daemonize yes --port 0 --save '' --dir {0} --unixsocket {0}/socket --pidfile {0}/pid",
        dir.path().display()
    );
    let scene = Scene::with(Launch::dormouse(), dir, &["--idle=200ms", &exec]).unwrap();
    for _ in 0..2 {
        let client = pong(&scene)
            .unwrap_or_else(|failure| panic!("{failure} (package redis-server)\n{}", scene.log()));
        let pid = until("a pid file", LIMIT, || Ok(fs::read_to_string(scene.dir.join("pid")).ok()));
        let server = Process::new(pid.unwrap().trim().parse().unwrap());
        drop(client);
        server.ended();
        assert!(UnixStream::connect(scene.dir.join("socket")).is_err());
    }
}

#[test]
fn a_process_limit_is_reported_with_a_remedy_and_recovers() {
    // A user without other processes, so that the limit applies only to this dormouse.
    let uid = 62_000 + std::process::id() % 1000;
    let scene = Scene::launch(Launch::dormouse().uid(uid), "well", &[]).unwrap();
    // The main thread, the thread that writes the log, and the spawner.
    let threads = 3;
    let limit = |most: u64| limit_processes(&scene, uid, most);
    // First no additional process, then only the guard.
    for more in [0, 1] {
        limit(threads + more);
        let before = scene.log().matches(messages::NO_MORE_PROCESSES).count();
        let failed = until("a failed start", LIMIT, || {
            scene.refused("hello\n");
            Ok((scene.log().matches(messages::NO_MORE_PROCESSES).count() > before).then_some(()))
        });
        failed.unwrap_or_else(|failure| panic!("{failure}\n{}", scene.log()));
    }
    limit(threads + 1000);
    scene.served_again("hello\n");
}

/// Limits dormouse and its spawner. Runs prlimit as the user itself, because in some containers root may not do this.
#[track_caller]
fn limit_processes(scene: &Scene, uid: u32, most: u64) {
    let dormouse = scene.dormouse.pid();
    let children = fs::read_to_string(format!("/proc/{dormouse}/task/{dormouse}/children")).unwrap();
    let spawner = children.split_whitespace().next().unwrap_or_else(|| panic!("no spawner: {}", scene.log()));
    for pid in [&dormouse.to_string(), spawner] {
        limit_process(pid, uid, most);
    }
}

#[track_caller]
fn limit_process(pid: &str, uid: u32, most: u64) {
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".to_owned()]);
    command.args(["prlimit".to_owned(), format!("--pid={pid}"), format!("--nproc={most}:")]);
    let status = command.status().unwrap_or_else(|error| panic!("setpriv (package util-linux): {error}"));
    assert!(status.success(), "prlimit: {status}");
}

/// Connects a client and waits for an answer from Redis.
fn pong(scene: &Scene) -> Result<TcpStream> {
    let mut client = scene.connect()?;
    client.write_all(b"PING\r\n").doing(|| "send".to_owned())?;
    let mut answer = [0; 7];
    client.read_exact(&mut answer).doing(|| "receive".to_owned())?;
    Ok(client)
}
