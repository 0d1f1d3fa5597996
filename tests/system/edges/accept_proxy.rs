//! `HAProxy` in front of dormouse sends its clients' addresses in PROXY headers.

use std::net::SocketAddr;

use dormouse_tests::Stream;
use dormouse_tests::messages;
use dormouse_tests::wait::SOON;

use super::peers::Peer;
use super::scene::{Scene, expect_received};

const TRUSTED: &str = "accept_proxy = [\"127.0.0.0/8\"]";

fn local(stream: &Stream) -> SocketAddr {
    stream.socket().local_addr().unwrap().as_socket().unwrap()
}

/// Asserts that dormouse and the server see the address of `HAProxy`'s client.
fn behind_haproxy(how: &str) {
    let scene = Scene::new(&format!("{TRUSTED}\nproxy_protocol = \"v1\"")).unwrap();
    let config = format!("listen web\n bind fd@3\n server us {} {how}\n", scene.port().unwrap());
    let haproxy = Peer::haproxy(&config).unwrap();
    let client = Stream::connect(haproxy.address(), SOON).unwrap();
    client.send(b"hello", SOON).unwrap();
    let server = scene.server.accept(SOON).unwrap();
    let (from, port) = (local(&client), haproxy.address().port());
    expect_received(
        &server,
        format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {port}\r\nhello", from.port()).as_bytes(),
    );
    server.send(b"welcome", SOON).unwrap();
    expect_received(&client, b"welcome");
    drop((client, server));
    scene.wait_for_log(&messages::session_held("main", &from.to_string())).unwrap();
}

#[test]
fn client_address_arrives_from_haproxy_in_version_1() {
    behind_haproxy("send-proxy");
}

#[test]
fn client_address_arrives_from_haproxy_in_version_2() {
    behind_haproxy("send-proxy-v2");
}

#[test]
fn additional_fields_from_haproxy_are_accepted() {
    behind_haproxy("send-proxy-v2 proxy-v2-options crc32c,authority");
}

#[test]
fn a_haproxy_check_is_a_session_of_haproxy_itself() {
    // No client connects: the sessions are `HAProxy`'s checks, with LOCAL headers.
    let scene = Scene::new(TRUSTED).unwrap();
    let config = format!(
        "listen web\n bind fd@3\n server us {} send-proxy-v2 check check-send-proxy inter 100\n",
        scene.port().unwrap()
    );
    let _haproxy = Peer::haproxy(&config).unwrap();
    for _ in 0..2 {
        scene.server.accept(SOON).unwrap();
    }
    scene.wait_for_log(&format!("main: {}", messages::session_from("127.0.0.1:"))).unwrap();
    assert!(!scene.log().contains(messages::REFUSED), "{}", scene.log());
}
