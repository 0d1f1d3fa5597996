//! Replay: a port accepts connections and drops them before its server listens.

use std::time::Duration;

use dormouse_tests::messages;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Ending, Result, Stream};

use super::scene::Scene;

/// Connects a client that has sent data, and waits until its server connection was dropped a few times.
fn dropped(options: &[&str], flags: &[&str], words: &[u8]) -> Result<(Scene, Stream)> {
    let options = [options, &["serve", "record"]].concat();
    let scene = Scene::new(&options, flags)?;
    let client = scene.client()?;
    client.send(words, SOON)?;
    scene.wait_for_log_times(&messages::output("main", "dropped"), 4)?;
    Ok((scene, client))
}

fn data_arrives_once(drop: &str) {
    let words = "exactly once";
    let (scene, client) = dropped(&[drop], &[], words.as_bytes()).unwrap();
    scene.place.open("serve").unwrap();
    scene.receives(&client, words).unwrap();
    // The session continues as any other.
    scene.echo(&client, "and on").unwrap();
    assert_eq!(scene.place.read("record"), b"exactly onceand on");
    assert_eq!(scene.place.starts(), 1);
}

#[test]
fn the_data_of_a_client_is_replayed_after_a_drop() {
    data_arrives_once("drop=close");
}

#[test]
fn the_data_of_a_client_is_replayed_after_a_reset() {
    data_arrives_once("drop=reset");
}

#[test]
fn a_half_closed_client_is_served_after_a_drop() {
    for drop in ["drop=close", "drop=reset"] {
        let scene = Scene::new(&[drop, "serve", "record"], &[]).unwrap();
        let client = scene.client().unwrap();
        client.send(b"exactly once", SOON).unwrap();
        client.finish().unwrap();
        scene.wait_for_log_times(&messages::output("main", "dropped"), 4).unwrap();
        scene.place.open("serve").unwrap();
        let received = client.receive_to_end(SOON).unwrap();
        scene.expect(received.bytes == b"exactly once", "the client was not served");
        assert_eq!(received.ending, Ending::Fin);
        assert_eq!(scene.place.read("record"), b"exactly once");
    }
}

#[test]
fn a_silent_client_is_reconnected_and_receives_the_servers_greeting() {
    let (scene, client) = dropped(&["greet=220 welcome"], &[], b"").unwrap();
    scene.place.open("serve").unwrap();
    scene.receives(&client, "220 welcome").unwrap();
    scene.echo(&client, "EHLO").unwrap();
}

#[test]
fn a_server_may_send_first() {
    let scene = Scene::new(&["greet=220 welcome"], &[]).unwrap();
    let client = scene.client().unwrap();
    scene.receives(&client, "220 welcome").unwrap();
    scene.echo(&client, "EHLO").unwrap();
    scene.expect_in_log_times(&messages::output("main", "accepted"), 1).unwrap();
}

#[test]
fn without_replay_the_client_receives_the_drop() {
    let scene = Scene::new(&["serve", "record"], &["--no-replay"]).unwrap();
    let client = scene.client().unwrap();
    client.send(b"not twice", SOON).unwrap();
    scene.is_refused(&client).unwrap();
    scene.place.open("serve").unwrap();
    scene.visit("again").unwrap();
    assert_eq!(scene.place.read("record"), b"again");
}

#[test]
fn without_replay_a_running_server_serves_as_usual() {
    let scene = Scene::new(&["record"], &["--no-replay"]).unwrap();
    scene.visit("once").unwrap();
    assert_eq!(scene.place.read("record"), b"once");
}

#[test]
fn large_data_is_forwarded_before_the_servers_first_byte() {
    let scene = Scene::new(&["silent=1", "record"], &[]).unwrap();
    let client = scene.client().unwrap();
    let much: Vec<u8> = (0..1_000_000u32).map(|number| (number % 251) as u8).collect();
    client.send(&much, SOON).unwrap();
    client.finish().unwrap();
    scene.receives(&client, "1000000 bytes").unwrap();
    scene.expect(scene.place.read("record") == much, "other data arrived");
}

#[test]
fn large_data_is_not_replayed() {
    let scene = Scene::new(&["serve", "record"], &[]).unwrap();
    let client = scene.client().unwrap();
    // A send to a closed session fails sooner or later.
    let _ = client.send(&vec![b'x'; 300_000], SOON);
    scene.is_refused(&client).unwrap();
    scene.place.open("serve").unwrap();
    scene.visit("again").unwrap();
    assert_eq!(scene.place.read("record"), b"again");
}

#[test]
fn replay_ends_with_the_hold() {
    let (scene, client) = dropped(&[], &["--hold=2s"], b"hello").unwrap();
    scene.is_refused(&client).unwrap();
    // The hold may end during an attempt to connect; then the end of that attempt ends the session.
    let ends = ["the server closes connections before its first byte", "0 bytes down: reset by"];
    scene.wait_for_one_in_log(&ends).unwrap();
}

#[test]
fn a_client_that_leaves_during_the_replay_is_removed() {
    let (scene, client) = dropped(&[], &[], b"hello").unwrap();
    client.reset().unwrap();
    scene.wait_for_log(messages::LEFT_UNSERVED).unwrap();
}

/// A request that crashes the server is not replayed for the whole hold.
#[test]
fn a_request_that_crashes_the_server_is_not_replayed_repeatedly() {
    let scene = Scene::new(&["crash=1"], &[]).unwrap();
    let client = scene.client().unwrap();
    client.send(b"poison", SOON).unwrap();
    let received = client.receive_to_end(Duration::from_secs(20)).unwrap();
    assert_eq!(received.bytes, b"");
    let starts = scene.place.starts();
    scene.expect(starts <= 4, &format!("{starts} starts"));
    scene.wait_for_log(&messages::exit_code(7)).unwrap();
}
