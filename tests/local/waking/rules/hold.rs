//! Held clients.

use std::time::{Duration, Instant};

use dormouse_tests::messages;
use dormouse_tests::wait::{self, SOON};

use super::scene::{MOMENT, Place, Scene};

#[test]
fn a_client_is_held_at_most_for_the_hold_timeout() {
    let scene = Scene::new(&["start"], &["--hold=2s"]).unwrap();
    let client = scene.client().unwrap();
    let connected = Instant::now();
    scene.is_refused(&client).unwrap();
    scene.expect(connected.elapsed() >= Duration::from_millis(1900), "the hold ended too early");
    scene.wait_for_log(&format!("main: {}", messages::NOT_READY_IN_TIME)).unwrap();
    // The start continues and serves the next client.
    scene.place.open("start").unwrap();
    scene.wait_for_log(&messages::idle("main")).unwrap();
    scene.visit("hello").unwrap();
    assert_eq!(scene.place.starts(), 1);
}

#[test]
fn without_a_hold_timeout_a_client_is_refused_at_once_and_still_wakes_the_service() {
    let scene = Scene::new(&[], &["--hold=0"]).unwrap();
    scene.is_refused(&scene.client().unwrap()).unwrap();
    scene.wait_for_log(&messages::idle("main")).unwrap();
    scene.visit("hello").unwrap();
}

#[test]
fn a_held_client_that_leaves_is_removed_at_once_and_does_not_keep_the_workload_awake() {
    let scene = Scene::new(&["start"], &["--idle=300ms"]).unwrap();
    let client = scene.client().unwrap();
    scene.wait_for_log(&messages::output("main", "starts")).unwrap();
    drop(client);
    scene.wait_for_log(&format!("{}: {}", messages::NOT_SERVED, messages::LEFT_UNSERVED)).unwrap();
    scene.expect(
        scene.count_in_log(messages::READY) + scene.count_in_log("idle after") == 0,
        "the client was not held",
    );
    scene.place.open("start").unwrap();
    scene.wait_for_log(&messages::idle("main")).unwrap();
    scene.wait_for_log(&messages::state_of("main", "stopping", "stopped")).unwrap();
    assert_eq!(scene.count_in_log("bytes up"), 0);
}

#[test]
fn a_held_client_that_resets_is_removed_at_once() {
    let scene = Scene::new(&["start"], &[]).unwrap();
    let client = scene.client().unwrap();
    client.send(b"hello", SOON).unwrap();
    scene.wait_for_log(&messages::output("main", "starts")).unwrap();
    client.reset().unwrap();
    scene.wait_for_log(&format!("{}: {}", messages::NOT_SERVED, messages::LEFT_UNSERVED)).unwrap();
}

#[test]
fn a_failed_start_ends_held_clients_and_is_tried_again_after_a_pause() {
    let place = Place::new(1).unwrap();
    place.open("broken").unwrap();
    let scene = Scene::at(place, &["start", "broken"], &[]).unwrap();
    let waiting: Vec<_> = (0..5).map(|_| scene.client().unwrap()).collect();
    scene.wait_for_log(&messages::output("main", "starts")).unwrap();
    let opened = Instant::now();
    scene.place.open("start").unwrap();
    for client in &waiting {
        scene.is_refused(client).unwrap();
    }
    scene
        .wait_for_log(
            "starting → failed: python3 ended: it exited with code 3; its last output was \"the disk is on fire\"",
        )
        .unwrap();
    // During the pause clients are refused at once and start nothing.
    scene.is_refused(&scene.client().unwrap()).unwrap();
    scene
        .wait_for_log("main: a start failed recently; the next attempt waits for the backoff: python3 ended")
        .unwrap();
    assert_eq!(scene.place.starts(), 1);
    // After the pause clients are served.
    scene.place.shut("broken").unwrap();
    let served = loop {
        let client = scene.client().unwrap();
        client.send(b"hello", SOON).unwrap();
        if client.receive(5, SOON).is_ok() {
            break opened.elapsed();
        }
        scene.expect(opened.elapsed() < SOON, "the service does not recover");
    };
    scene.expect(served >= Duration::from_secs(1), "the start was tried again too early");
    assert_eq!(scene.place.starts(), 2);
    // The failure is logged once for any number of held clients; the lines of the sessions do not count.
    let lines = || {
        let log = scene.log();
        log.lines()
            .filter(|line| line.contains("disk is on fire") && !line.contains(": Session from"))
            .count()
    };
    wait::until("three lines", SOON, || Ok((lines() >= 3).then_some(()))).unwrap();
    scene
        .expect(lines() == 3, "the workload's output, the failure, and the clients refused during the pause");
}

#[test]
fn a_start_that_is_impossible_is_reported_with_a_remedy() {
    let scene = Scene::new(&[], &["--exec=/nonexistent/program"]).unwrap();
    scene.is_refused(&scene.client().unwrap()).unwrap();
    scene.wait_for_log(&messages::start_failed("main", "/nonexistent/program")).unwrap();
    scene.wait_for_log(messages::CHECK_THE_PATH).unwrap();
}

#[test]
fn a_start_that_never_gets_ready_is_killed() {
    let scene = Scene::new(&["start", "pids"], &["--start-timeout=2s"]).unwrap();
    let client = scene.client().unwrap();
    scene.is_refused(&client).unwrap();
    scene.wait_for_log(&messages::start_timeout("main", "2.0")).unwrap();
    scene.wait_for_log(&messages::state_of("main", "stopping", "failed")).unwrap();
    let pids = String::from_utf8(scene.place.read("pids")).unwrap();
    let process = std::path::PathBuf::from(format!("/proc/{}", pids.trim()));
    scene.expect(!process.exists(), "the process still runs");
    // After the pause the start is tried again.
    scene.place.open("start").unwrap();
    let began = Instant::now();
    loop {
        let client = scene.client().unwrap();
        client.send(b"hello", SOON).unwrap();
        if client.receive(5, SOON).is_ok() {
            break;
        }
        scene.expect(began.elapsed() < SOON, "the service does not recover");
    }
    assert_eq!(scene.place.starts(), 2);
}

#[test]
fn the_limit_of_held_clients_is_kept() {
    let scene = Scene::new(&["start"], &["--hold-max=2"]).unwrap();
    let held = [scene.client().unwrap(), scene.client().unwrap()];
    // Wait until the clients are held.
    scene.wait_for_log(&messages::output("main", "starts")).unwrap();
    let third = scene.client().unwrap();
    scene.is_refused(&third).unwrap();
    scene.wait_for_log(&format!("main: {}", messages::TOO_MANY_HELD)).unwrap();
    scene.place.open("start").unwrap();
    for client in &held {
        scene.echo(client, "hello").unwrap();
    }
}

#[test]
fn clients_beyond_the_limit_may_wait_in_the_backlog() {
    let scene = Scene::new(&["start"], &["--hold-max=2", "--overflow=queue"]).unwrap();
    let all: Vec<_> = (0..5).map(|_| scene.client().unwrap()).collect();
    scene.wait_for_log(&messages::output("main", "starts")).unwrap();
    for client in &all {
        scene.expect(client.ended_within(MOMENT / 5).unwrap().is_none(), "the client was refused");
    }
    scene.place.open("start").unwrap();
    for client in &all {
        scene.echo(client, "hello").unwrap();
    }
}

/// A server that takes one connection and ends, and records its starts in a file. With a third argument it stays and
/// answers if that file exists, and makes it before it ends.
const ONE_CONNECTION: &str = "\
import os, socket, sys
host, port = sys.argv[1].rsplit(':', 1)
open(sys.argv[2], 'a').write('x')
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((host, int(port)))
listener.listen(8)
connection = listener.accept()[0]
if len(sys.argv) < 4: os._exit(0)
if not os.path.exists(sys.argv[3]):
    open(sys.argv[3], 'w').close()
    os._exit(0)
connection.sendall(connection.recv(100))
";

/// Returns the flag that starts it.
fn one_connection(place: &Place, more: &str) -> String {
    let program = place.path("once.py");
    std::fs::write(&program, ONE_CONNECTION).unwrap();
    let starts = place.path("runs");
    format!("--exec=python3 {} {} {} {more}", program.display(), place.port(0), starts.display())
}

/// A server that ends at the moment at which a client is connected to it is woken again for this client.
#[test]
fn a_client_of_a_server_that_just_ended_is_served_by_the_next_start() {
    let place = Place::new(1).unwrap();
    // The first server listens, accepts the readiness check and ends; the second one stays.
    let exec = one_connection(&place, &place.path("first").display().to_string());
    let scene = Scene::at(place, &[], &[&exec]).unwrap();
    scene.visit("hello").unwrap();
}

/// A server that ends each time is started a few times, and its client gets an answer.
#[test]
fn a_server_that_always_ends_with_its_first_connection_is_given_up() {
    let place = Place::new(1).unwrap();
    let exec = one_connection(&place, "");
    let scene = Scene::at(place, &[], &[&exec]).unwrap();
    let client = scene.client().unwrap();
    client.send(b"hello", SOON).unwrap();
    scene.is_refused(&client).unwrap();
    let runs = std::fs::read(scene.place.path("runs")).unwrap().len();
    scene.expect((2..=20).contains(&runs), &format!("{runs} runs"));
}

/// A connection alone is not what shows that this server is ready.
#[test]
fn a_server_that_ends_before_its_greeting_is_not_ready() {
    let place = Place::new(1).unwrap();
    let exec = one_connection(&place, "");
    let scene = Scene::at(place, &[], &[&exec, "--ready=expect:hello"]).unwrap();
    scene.is_refused(&scene.client().unwrap()).unwrap();
    scene.wait_for_log(messages::ENDED_BEFORE_READY).unwrap();
    assert_eq!(scene.count_in_log(messages::READY), 0);
    assert_eq!(std::fs::read(scene.place.path("runs")).unwrap().len(), 1);
}
