//! Readiness: the conditions `ready` and the settle time.

use std::time::{Duration, Instant};

use dormouse_tests::messages;
use dormouse_tests::wait::SOON;

use super::scene::{MOMENT, Place, Scene};

const SETTLE: Duration = Duration::from_millis(400);

/// For each readiness condition: the gate that fulfils it, the server's options, and the flag.
fn ways(place: &Place) -> [(&'static str, &'static [&'static str], String); 5] {
    [
        ("start", &["start"], "connect".to_owned()),
        ("ready", &["ready"], "notify".to_owned()),
        ("there", &[], format!("file:{}", place.path("there").display())),
        ("there", &[], format!("command:test -e {}", place.path("there").display())),
        ("start", &["start", "greet=+PONG"], "expect:PONG".to_owned()),
    ]
}

/// Asserts that a client is held exactly until the gate is opened.
fn waits_for_the_gate(way: usize) {
    let place = Place::new(1).unwrap();
    let (gate, options, ready) = ways(&place)[way].clone();
    let scene = Scene::at(place, options, &[&format!("--ready={ready}")]).unwrap();
    let client = scene.client().unwrap();
    client.send(b"hello", SOON).unwrap();
    scene.wait_for_log(if options.contains(&"start") { "main| starts" } else { "main| listening" }).unwrap();
    scene.expect(!client.is_readable_within(MOMENT).unwrap(), "the client reached the server too early");
    scene.expect(scene.count_in_log(messages::READY) == 0, "the workload was ready too early");
    scene.place.open(gate).unwrap();
    let answer = if ready.starts_with("expect") { "+PONGhello" } else { "hello" };
    scene.receives(&client, answer).unwrap();
    scene.wait_for_log(&messages::ready("main")).unwrap();
    assert_eq!(scene.place.starts(), 1);
}

/// Like [`waits_for_the_gate`], with a settle time.
fn settles(way: usize) {
    let place = Place::new(1).unwrap();
    let (gate, options, ready) = ways(&place)[way].clone();
    let settle = format!("--settle={} ms", SETTLE.as_millis());
    let scene = Scene::at(place, options, &[&format!("--ready={ready}"), &settle]).unwrap();
    let client = scene.client().unwrap();
    client.send(b"hello", SOON).unwrap();
    scene.wait_for_log(&messages::output("main", "starts")).unwrap();
    let opened = Instant::now();
    scene.place.open(gate).unwrap();
    let answer = if ready.starts_with("expect") { "+PONGhello" } else { "hello" };
    scene.receives(&client, answer).unwrap();
    scene.expect(opened.elapsed() >= SETTLE, "the settle time was not kept");
}

#[test]
fn readiness_by_connection() {
    waits_for_the_gate(0);
}

#[test]
fn readiness_by_notification() {
    waits_for_the_gate(1);
}

#[test]
fn readiness_by_file() {
    waits_for_the_gate(2);
}

#[test]
fn readiness_by_command() {
    waits_for_the_gate(3);
}

#[test]
fn readiness_by_log_line() {
    waits_for_the_gate(4);
}

#[test]
fn settle_time_after_a_connection() {
    settles(0);
}

#[test]
fn settle_time_after_a_notification() {
    settles(1);
}

#[test]
fn settle_time_after_a_file() {
    settles(2);
}

#[test]
fn settle_time_after_a_command() {
    settles(3);
}

#[test]
fn settle_time_after_a_log_line() {
    settles(4);
}

#[test]
fn a_server_that_disappears_during_the_settle_time_is_not_ready() {
    let scene = Scene::new(&["flap=1"], &["--settle=500ms"]).unwrap();
    scene.visit("hello").unwrap();
    scene.wait_for_log(&messages::ready("main")).unwrap();
    let log = scene.log();
    let (back, ready) = (log.find("back again"), log.find("ready after"));
    scene.expect(back.is_some() && back < ready, "ready while the server was away");
}

#[test]
fn readiness_by_an_expected_answer() {
    let place = Place::new(1).unwrap();
    let text = format!(
        "[services.main]\nlisten = LISTEN\nto = \"{}\"\nwake.exec = \"{}\"\nready = {{ send = \"PING\\r\\n\", expect = \"+PONG\" }}\n",
        place.port(0),
        place.server(0, &["pong"]),
    );
    let scene = Scene::of_file(place, &text).unwrap();
    let client = scene.client().unwrap();
    client.send(b"hello", SOON).unwrap();
    // The server answers, but not with the expected text.
    scene.wait_for_log(&messages::output("main", "accepted")).unwrap();
    scene.expect(!client.is_readable_within(MOMENT).unwrap(), "the client reached the server too early");
    scene.place.open("pong").unwrap();
    scene.receives(&client, "hello").unwrap();
}
