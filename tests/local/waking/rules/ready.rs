//! Ready means that it answers, and for long enough.

use std::time::{Duration, Instant};

use dormouse_tests::messages;
use dormouse_tests::wait::SOON;

use super::scene::{MOMENT, Place, Scene};

const SETTLE: Duration = Duration::from_millis(400);

/// What opens the way for the first client, and the flags by which that is waited for.
fn ways(place: &Place) -> [(&'static str, &'static [&'static str], String); 5] {
    [
        ("start", &["start"], "connect".to_owned()),
        ("ready", &["ready"], "notify".to_owned()),
        ("there", &[], format!("file:{}", place.path("there").display())),
        ("there", &[], format!("command:test -e {}", place.path("there").display())),
        ("start", &["start", "greet=+PONG"], "expect:PONG".to_owned()),
    ]
}

/// Holds a client until the gate is opened, and not longer.
fn waits_for_the_gate(way: usize) {
    let place = Place::new(1).unwrap();
    let (gate, options, ready) = ways(&place)[way].clone();
    let scene = Scene::at(place, options, &[&format!("--ready={ready}")]).unwrap();
    let client = scene.client().unwrap();
    client.send(b"hello", SOON).unwrap();
    scene.wait_for_log(if options.contains(&"start") { "main| starts" } else { "main| listening" }).unwrap();
    scene.expect(!client.is_readable_within(MOMENT).unwrap(), "passed on too early");
    scene.expect(scene.count_in_log(messages::READY) == 0, "ready too early");
    scene.place.open(gate).unwrap();
    let heard = if ready.starts_with("expect") { "+PONGhello" } else { "hello" };
    scene.receives(&client, heard).unwrap();
    scene.wait_for_log(&messages::ready("main")).unwrap();
    assert_eq!(scene.place.starts(), 1);
}

/// The same, with a time to settle.
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
    let heard = if ready.starts_with("expect") { "+PONGhello" } else { "hello" };
    scene.receives(&client, heard).unwrap();
    scene.expect(opened.elapsed() >= SETTLE, "it had no time to settle");
}

#[test]
fn a_connection_shows_that_it_is_ready() {
    waits_for_the_gate(0);
}

#[test]
fn it_says_itself_that_it_is_ready() {
    waits_for_the_gate(1);
}

#[test]
fn a_file_shows_that_it_is_ready() {
    waits_for_the_gate(2);
}

#[test]
fn a_command_finds_out_that_it_is_ready() {
    waits_for_the_gate(3);
}

#[test]
fn what_it_says_shows_that_it_is_ready() {
    waits_for_the_gate(4);
}

#[test]
fn after_a_connection_it_settles() {
    settles(0);
}

#[test]
fn after_its_own_word_it_settles() {
    settles(1);
}

#[test]
fn after_the_file_it_settles() {
    settles(2);
}

#[test]
fn after_the_command_it_settles() {
    settles(3);
}

#[test]
fn after_what_it_said_it_settles() {
    settles(4);
}

#[test]
fn what_goes_away_while_it_settles_was_not_ready() {
    let scene = Scene::new(&["flap=1"], &["--settle=500ms"]).unwrap();
    scene.visit("hello").unwrap();
    scene.wait_for_log(&messages::ready("main")).unwrap();
    let log = scene.log();
    let (back, ready) = (log.find("back again"), log.find("ready after"));
    scene.expect(back.is_some() && back < ready, "ready while it was away");
}

#[test]
fn an_answer_to_a_question_shows_that_it_is_ready() {
    let place = Place::new(1).unwrap();
    let text = format!(
        "[services.main]\nlisten = LISTEN\nto = \"{}\"\nwake.exec = \"{}\"\nready = {{ send = \"PING\\r\\n\", expect = \"+PONG\" }}\n",
        place.port(0),
        place.server(0, &["pong"]),
    );
    let scene = Scene::of_file(place, &text).unwrap();
    let client = scene.client().unwrap();
    client.send(b"hello", SOON).unwrap();
    // It answers, but not what is expected.
    scene.wait_for_log(&messages::output("main", "accepted")).unwrap();
    scene.expect(!client.is_readable_within(MOMENT).unwrap(), "passed on too early");
    scene.place.open("pong").unwrap();
    scene.receives(&client, "hello").unwrap();
}
