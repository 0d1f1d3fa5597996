//! A port that takes connections and drops them before anybody is behind it.

use std::time::Duration;

use dormouse_tests::messages;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Ending, Result, Stream};

use super::scene::Scene;

/// A client that has said something, when its connection to the server was dropped a few times already.
fn dropped(options: &[&str], flags: &[&str], words: &[u8]) -> Result<(Scene, Stream)> {
    let options = [options, &["serve", "record"]].concat();
    let scene = Scene::new(&options, flags)?;
    let client = scene.client()?;
    client.send(words, SOON)?;
    scene.wait_for_log_times(&messages::output("main", "dropped"), 4)?;
    Ok((scene, client))
}

fn is_said_once(drop: &str) {
    let words = "exactly once";
    let (scene, client) = dropped(&[drop], &[], words.as_bytes()).unwrap();
    scene.place.open("serve").unwrap();
    scene.receives(&client, words).unwrap();
    // The session goes on as any other.
    scene.echo(&client, "and on").unwrap();
    assert_eq!(scene.place.read("record"), b"exactly onceand on");
    assert_eq!(scene.place.starts(), 1);
}

#[test]
fn what_a_client_said_is_said_again_after_a_drop() {
    is_said_once("drop=close");
}

#[test]
fn what_a_client_said_is_said_again_after_a_reset() {
    is_said_once("drop=reset");
}

#[test]
fn a_client_that_has_ended_its_stream_is_served_after_a_drop() {
    for drop in ["drop=close", "drop=reset"] {
        let scene = Scene::new(&[drop, "serve", "record"], &[]).unwrap();
        let client = scene.client().unwrap();
        client.send(b"exactly once", SOON).unwrap();
        client.finish().unwrap();
        scene.wait_for_log_times(&messages::output("main", "dropped"), 4).unwrap();
        scene.place.open("serve").unwrap();
        let received = client.receive_to_end(SOON).unwrap();
        scene.expect(received.bytes == b"exactly once", "not served");
        assert_eq!(received.ending, Ending::Fin);
        assert_eq!(scene.place.read("record"), b"exactly once");
    }
}

#[test]
fn a_client_that_says_nothing_is_connected_again_and_hears_the_server_speak_first() {
    let (scene, client) = dropped(&["greet=220 welcome"], &[], b"").unwrap();
    scene.place.open("serve").unwrap();
    scene.receives(&client, "220 welcome").unwrap();
    scene.echo(&client, "EHLO").unwrap();
}

#[test]
fn a_server_may_speak_first() {
    let scene = Scene::new(&["greet=220 welcome"], &[]).unwrap();
    let client = scene.client().unwrap();
    scene.receives(&client, "220 welcome").unwrap();
    scene.echo(&client, "EHLO").unwrap();
    scene.expect_in_log_times(&messages::output("main", "accepted"), 1).unwrap();
}

#[test]
fn without_replay_the_client_sees_the_drop() {
    let scene = Scene::new(&["serve", "record"], &["--no-replay"]).unwrap();
    let client = scene.client().unwrap();
    client.send(b"not twice", SOON).unwrap();
    scene.is_turned_away(&client).unwrap();
    scene.place.open("serve").unwrap();
    scene.visit("again").unwrap();
    assert_eq!(scene.place.read("record"), b"again");
}

#[test]
fn without_replay_a_server_that_is_there_is_no_different() {
    let scene = Scene::new(&["record"], &["--no-replay"]).unwrap();
    scene.visit("once").unwrap();
    assert_eq!(scene.place.read("record"), b"once");
}

#[test]
fn much_goes_through_before_the_servers_first_byte() {
    let scene = Scene::new(&["silent=1", "record"], &[]).unwrap();
    let client = scene.client().unwrap();
    let much: Vec<u8> = (0..1_000_000u32).map(|number| (number % 251) as u8).collect();
    client.send(&much, SOON).unwrap();
    client.finish().unwrap();
    scene.receives(&client, "1000000 bytes").unwrap();
    scene.expect(scene.place.read("record") == much, "something else arrived");
}

#[test]
fn much_is_not_said_again() {
    let scene = Scene::new(&["serve", "record"], &[]).unwrap();
    let client = scene.client().unwrap();
    // Whoever listens no more says so by an error, sooner or later.
    let _ = client.send(&vec![b'x'; 300_000], SOON);
    scene.is_turned_away(&client).unwrap();
    scene.place.open("serve").unwrap();
    scene.visit("again").unwrap();
    assert_eq!(scene.place.read("record"), b"again");
}

#[test]
fn replay_ends_with_the_hold() {
    let (scene, client) = dropped(&[], &["--hold=2s"], b"hello").unwrap();
    scene.is_turned_away(&client).unwrap();
    // The hold may end while a connection is being tried: then its end is the session's.
    let ends = ["the server takes connections and ends them before its first byte", "0 bytes down: reset by"];
    scene.wait_for_one_in_log(&ends).unwrap();
}

#[test]
fn a_client_that_leaves_meanwhile_is_forgotten() {
    let (scene, client) = dropped(&[], &[], b"hello").unwrap();
    client.reset().unwrap();
    scene.wait_for_log(messages::LEFT_WHILE_HELD).unwrap();
}

/// What fells the server each time is not said to it for as long as the hold lasts.
#[test]
fn a_request_that_fells_the_server_is_not_repeated_for_long() {
    let scene = Scene::new(&["crash=1"], &[]).unwrap();
    let client = scene.client().unwrap();
    client.send(b"poison", SOON).unwrap();
    let received = client.receive_to_end(Duration::from_secs(20)).unwrap();
    assert_eq!(received.bytes, b"");
    let starts = scene.place.starts();
    scene.expect(starts <= 4, &format!("{starts} starts"));
    scene.wait_for_log("it exited with code 7").unwrap();
}
