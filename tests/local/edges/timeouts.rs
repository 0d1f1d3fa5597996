//! Timeouts of sessions: inactivity and maximum duration.

use std::time::{Duration, Instant};

use dormouse_tests::messages;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Ending, Stream};

use super::scene::{Scene, expect_received};

/// The timeout in these tests, and the least time that a test accepts, because the timers have a resolution of
/// milliseconds.
const SPAN: Duration = Duration::from_millis(400);
const NEARLY: Duration = Duration::from_millis(380);

fn scene(keys: &str) -> Scene {
    // The other timeouts are long.
    Scene::new(&format!("timeout = {{ {} }}", keys.replace("SPAN", "\"400ms\""))).unwrap()
}

/// Sends data in both directions; returns the time before the last data.
fn talk(client: &Stream, server: &Stream) -> Instant {
    client.send(b"ping", SOON).unwrap();
    expect_received(server, b"ping");
    let last = Instant::now();
    server.send(b"pong", SOON).unwrap();
    expect_received(client, b"pong");
    last
}

/// Waits until both peers have received the end of the session and the log contains its line; returns the duration.
fn ends(scene: &Scene, since: Instant, streams: &[&Stream], why: &str) -> Duration {
    for stream in streams {
        stream.receive_to_end(SOON).unwrap();
    }
    let took = since.elapsed();
    scene.wait_for_log(&messages::session_ended(why)).unwrap();
    took
}

#[test]
fn a_session_with_an_inactive_client_ends() {
    let scene = scene("client = SPAN, server = \"1h\"");
    let (client, server) = scene.session().unwrap();
    let last = talk(&client, &server);
    let took = ends(&scene, last, &[&client, &server], "client inactive for 0.4 s");
    assert!(took >= NEARLY, "{took:?}");
}

#[test]
fn a_session_with_an_inactive_server_ends() {
    let scene = scene("client = \"1h\", server = SPAN");
    let (client, server) = scene.session().unwrap();
    let last = talk(&client, &server);
    let took = ends(&scene, last, &[&client, &server], "server inactive for 0.4 s");
    assert!(took >= NEARLY, "{took:?}");
}

#[test]
fn data_defers_the_timeout() {
    let scene = scene("client = SPAN, server = SPAN");
    let (client, server) = scene.session().unwrap();
    let began = Instant::now();
    let mut last = began;
    while began.elapsed() < SPAN * 3 {
        last = talk(&client, &server);
    }
    let took = ends(&scene, last, &[&client, &server], "client inactive for 0.4 s");
    assert!(took >= NEARLY, "{took:?}");
}

#[test]
fn a_client_that_does_not_read_counts_as_inactive() {
    let scene = scene("client = SPAN, server = \"1h\"");
    let (client, server) = scene.session().unwrap();
    let bulk = vec![7; 1 << 20];
    // The buffers between the peers may take longer to fill than the client timeout.
    while server.is_writable_within(SPAN / 4).unwrap() && server.send_nonblocking(&bulk).is_ok() {}
    scene.wait_for_log(&messages::session_ended("client inactive for 0.4 s")).unwrap();
    // A stream with undelivered bytes does not end with an orderly close.
    assert_eq!(client.receive_to_end(SOON).unwrap().ending, Ending::Reset);
}

#[test]
fn the_tunnel_timeout_replaces_both_inactivity_timeouts() {
    let scene = scene("client = \"100ms\", server = \"100ms\", tunnel = \"800ms\"");
    let (client, server) = scene.session().unwrap();
    let last = talk(&client, &server);
    let took = ends(&scene, last, &[&client, &server], "idle for 0.8 s");
    assert!(took >= NEARLY * 2, "{took:?}");
}

#[test]
fn a_client_that_stays_open_after_the_servers_fin_is_ended() {
    let scene = scene("tunnel = \"1h\", half_close = \"1h\", server_fin = \"1h\", client_fin = SPAN");
    let (client, server) = scene.session().unwrap();
    talk(&client, &server);
    let began = Instant::now();
    server.finish().unwrap();
    let took = ends(&scene, began, &[&client, &server], "half-closed by the server, then idle for 0.4 s");
    assert!(took >= NEARLY, "{took:?}");
}

#[test]
fn a_server_that_stays_open_after_the_clients_fin_is_ended() {
    let scene = scene("tunnel = \"1h\", half_close = \"1h\", client_fin = \"1h\", server_fin = SPAN");
    let (client, server) = scene.session().unwrap();
    talk(&client, &server);
    let began = Instant::now();
    client.finish().unwrap();
    let took = ends(&scene, began, &[&client, &server], "half-closed by the client, then idle for 0.4 s");
    assert!(took >= NEARLY, "{took:?}");
}

#[test]
fn a_peer_that_still_sends_after_the_others_fin_continues() {
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
fn the_session_timeout_ends_an_active_session() {
    let scene = scene("session = SPAN");
    let began = Instant::now();
    let (client, server) = scene.session().unwrap();
    while client.send(b"ping", SOON).is_ok() && server.receive(4, SOON).is_ok() {
        assert!(began.elapsed() < SOON, "{}", scene.log());
    }
    assert!(began.elapsed() >= NEARLY, "{:?}", began.elapsed());
    scene.wait_for_log(&messages::session_ended("session limit of 0.4 s reached")).unwrap();
}
