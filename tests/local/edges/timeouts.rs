//! How long a session may be silent, and how long it may last.

use std::time::{Duration, Instant};

use dormouse_tests::messages;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Ending, Stream};

use super::scene::{Scene, hears};

/// How short the clocks are here, and what they may not run below, as they tick in milliseconds.
const SPAN: Duration = Duration::from_millis(400);
const NEARLY: Duration = Duration::from_millis(380);

fn scene(keys: &str) -> Scene {
    // The others are far away.
    Scene::new(&format!("timeout = {{ {} }}", keys.replace("SPAN", "\"400ms\""))).unwrap()
}

/// Has words travel both ways; the moment before the last ones.
fn talk(client: &Stream, server: &Stream) -> Instant {
    client.send(b"ping", SOON).unwrap();
    hears(server, b"ping");
    let last = Instant::now();
    server.send(b"pong", SOON).unwrap();
    hears(client, b"pong");
    last
}

/// Waits until both have seen the session end, and for its line; says how long it took.
fn ends(scene: &Scene, since: Instant, streams: &[&Stream], why: &str) -> Duration {
    for stream in streams {
        stream.receive_to_end(SOON).unwrap();
    }
    let took = since.elapsed();
    scene.wait_for_log(&messages::session_ended(why)).unwrap();
    took
}

#[test]
fn a_client_that_is_silent() {
    let scene = scene("client = SPAN, server = \"1h\"");
    let (client, server) = scene.session().unwrap();
    let last = talk(&client, &server);
    let took = ends(&scene, last, &[&client, &server], "nothing from or to the client for 0.4 s");
    assert!(took >= NEARLY, "{took:?}");
}

#[test]
fn a_server_that_is_silent() {
    let scene = scene("client = \"1h\", server = SPAN");
    let (client, server) = scene.session().unwrap();
    let last = talk(&client, &server);
    let took = ends(&scene, last, &[&client, &server], "nothing from or to the server for 0.4 s");
    assert!(took >= NEARLY, "{took:?}");
}

#[test]
fn data_restarts_the_idle_timeout() {
    let scene = scene("client = SPAN, server = SPAN");
    let (client, server) = scene.session().unwrap();
    let began = Instant::now();
    let mut last = began;
    while began.elapsed() < SPAN * 3 {
        last = talk(&client, &server);
    }
    let took = ends(&scene, last, &[&client, &server], "nothing from or to the client for 0.4 s");
    assert!(took >= NEARLY, "{took:?}");
}

#[test]
fn a_client_that_takes_nothing_is_the_one_that_is_waited_for() {
    let scene = scene("client = SPAN, server = \"1h\"");
    let (client, server) = scene.session().unwrap();
    let bulk = vec![7; 1 << 20];
    // The queues between the two may take longer to fill than the client is waited for.
    while server.is_writable_within(SPAN / 4).unwrap() && server.send_at_once(&bulk).is_ok() {}
    scene.wait_for_log(&messages::session_ended("nothing from or to the client for 0.4 s")).unwrap();
    // What was taken and not delivered does not look like a whole.
    assert_eq!(client.receive_to_end(SOON).unwrap().ending, Ending::Reset);
}

#[test]
fn a_tunnel_is_in_the_place_of_both_sides() {
    let scene = scene("client = \"100ms\", server = \"100ms\", tunnel = \"800ms\"");
    let (client, server) = scene.session().unwrap();
    let last = talk(&client, &server);
    let took = ends(&scene, last, &[&client, &server], "silent for 0.8 s");
    assert!(took >= NEARLY * 2, "{took:?}");
}

#[test]
fn a_client_that_stays_after_the_servers_end() {
    let scene = scene("tunnel = \"1h\", half_close = \"1h\", server_fin = \"1h\", client_fin = SPAN");
    let (client, server) = scene.session().unwrap();
    talk(&client, &server);
    let began = Instant::now();
    server.finish().unwrap();
    let took = ends(&scene, began, &[&client, &server], "half-closed by the server, then silent for 0.4 s");
    assert!(took >= NEARLY, "{took:?}");
}

#[test]
fn a_server_that_stays_after_the_clients_end() {
    let scene = scene("tunnel = \"1h\", half_close = \"1h\", client_fin = \"1h\", server_fin = SPAN");
    let (client, server) = scene.session().unwrap();
    talk(&client, &server);
    let began = Instant::now();
    client.finish().unwrap();
    let took = ends(&scene, began, &[&client, &server], "half-closed by the client, then silent for 0.4 s");
    assert!(took >= NEARLY, "{took:?}");
}

#[test]
fn whoever_still_speaks_after_the_others_end_may_go_on() {
    let scene = scene("half_close = \"100ms\", server_fin = \"1h\"");
    let (client, server) = scene.session().unwrap();
    client.finish().unwrap();
    assert_eq!(server.receive_to_end(SOON).unwrap().ending, Ending::Fin);
    assert!(!client.is_readable_within(SPAN).unwrap(), "{}", scene.log());
    server.send(b"late", SOON).unwrap();
    drop(server);
    assert_eq!(client.receive_to_end(SOON).unwrap().bytes, b"late");
    scene.wait_for_log(&messages::session_ended("finished")).unwrap();
}

#[test]
fn a_session_is_over_when_its_time_is_whatever_moves() {
    let scene = scene("session = SPAN");
    let began = Instant::now();
    let (client, server) = scene.session().unwrap();
    while client.send(b"ping", SOON).is_ok() && server.receive(4, SOON).is_ok() {
        assert!(began.elapsed() < SOON, "{}", scene.log());
    }
    assert!(began.elapsed() >= NEARLY, "{:?}", began.elapsed());
    scene.wait_for_log(&messages::session_ended("over after 0.4 s")).unwrap();
}
