//! PROXY headers from a proxy in front of dormouse.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dormouse_tests::messages;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Address, Ending, Stream};

use super::scene::{Scene, expect_received};

const TRUSTED: &str = "accept_proxy = [\"127.0.0.0/8\"]";

/// The header that a client sends first.
const LINE: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n";

fn local(stream: &Stream) -> SocketAddr {
    stream.socket().local_addr().unwrap().as_socket().unwrap()
}

#[test]
fn the_header_may_arrive_in_pieces_and_with_the_first_data() {
    let scene = Scene::new(TRUSTED).unwrap();
    let client = scene.client().unwrap();
    let (first, rest) = LINE.split_at(20);
    client.send(first.as_bytes(), SOON).unwrap();
    assert!(
        scene.server_gets_no_connection().unwrap(),
        "the session reached the server before the header was complete"
    );
    client.send(format!("{rest}hello").as_bytes(), SOON).unwrap();
    let server = scene.server.accept(SOON).unwrap();
    expect_received(&server, b"hello");
    client.finish().unwrap();
    assert_eq!(server.receive_to_end(SOON).unwrap().bytes, b"");
    drop(server);
    scene.wait_for_log(&messages::session_held("main", "192.0.2.7:4711")).unwrap();
}

#[test]
fn the_header_of_an_untrusted_client_is_passed_as_data() {
    let scene = Scene::new("accept_proxy = [\"10.0.0.0/8\"]").unwrap();
    let (client, server) = scene.session().unwrap();
    client.send(LINE.as_bytes(), SOON).unwrap();
    expect_received(&server, LINE.as_bytes());
    let from = local(&client);
    drop((client, server));
    scene.wait_for_log(&messages::session_held("main", &from.to_string())).unwrap();
}

#[test]
fn a_local_proxy_is_trusted() {
    let scene = Scene::listening("DIR/front", "accept_proxy = [\"10.0.0.0/8\"]").unwrap();
    let client = scene.local_client("front").unwrap();
    client.send(format!("{LINE}hello").as_bytes(), SOON).unwrap();
    let server = scene.server.accept(SOON).unwrap();
    expect_received(&server, b"hello");
    drop((client, server));
    scene.wait_for_log(&messages::session_held("main", "192.0.2.7:4711")).unwrap();
}

#[test]
fn an_invalid_header_ends_the_client_and_is_reported_once() {
    let scene = Scene::new("accept_proxy = true").unwrap();
    for words in ["GET / HTTP/1.1\r\n\r\n", "PROXY TCP4 nonsense\r\n", "\r\n\r\n\0\r\nQUIT\n1"] {
        let client = scene.client().unwrap();
        client.send(words.as_bytes(), SOON).unwrap();
        assert_eq!(client.receive_to_end(SOON).unwrap().bytes, b"", "{words:?}");
    }
    // The access log has a line for each session; the warning is logged once.
    scene.wait_for_log(&messages::refused("127.0.0.1:")).unwrap();
    let log = scene.log();
    assert_eq!(
        log.lines()
            .filter(|line| line.starts_with(&format!("main: {} 127.0.0.1:", messages::REFUSED)))
            .count(),
        1,
        "{log}"
    );
    assert!(log.contains(messages::NO_PROXY_HEADER), "{log}");
    assert!(scene.server_gets_no_connection().unwrap());
}

#[test]
fn a_late_header_ends_the_client() {
    let scene = Scene::new("accept_proxy = true\ntimeout.proxy_header = \"300ms\"").unwrap();
    let began = Instant::now();
    let (silent, slow) = (scene.client().unwrap(), scene.client().unwrap());
    slow.send(b"PROXY", SOON).unwrap();
    for client in [silent, slow] {
        assert!(matches!(client.receive_to_end(SOON).unwrap().ending, Ending::Fin | Ending::Reset));
    }
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    scene.wait_for_log(&messages::no_proxy_header_within("0.3")).unwrap();
    assert!(scene.server_gets_no_connection().unwrap());
}

#[test]
fn a_client_that_leaves_without_data_is_not_reported() {
    let scene = Scene::new("accept_proxy = true").unwrap();
    drop(scene.client().unwrap());
    scene.wait_for_log(messages::NOT_SERVED_LEFT).unwrap();
    assert!(!scene.log().contains(messages::REFUSED), "{}", scene.log());
}

#[test]
fn wake_permission_depends_on_the_client_in_the_header() {
    let wake = "wake = { exec = \"sleep 1000\", allow = [\"192.0.2.0/24\"] }\nhold.timeout = \"300ms\"";
    let scene = Scene::in_front_of(
        dormouse_tests::Listener::bind(dormouse_tests::Family::Tcp4).unwrap(),
        "@dormouse-test-nobody-listens-here",
        "127.0.0.1:0",
        &format!("{TRUSTED}\n{wake}"),
    )
    .unwrap();
    let address = Address::Tcp(scene.port().unwrap());
    let visit = |line: &str| {
        let client = Stream::connect(&address, SOON).unwrap();
        client.send(line.as_bytes(), SOON).unwrap();
        client.receive_to_end(SOON).unwrap();
    };
    visit("PROXY TCP4 198.51.100.9 198.51.100.1 4711 80\r\n");
    scene.wait_for_log(&messages::session_from("198.51.100.9:4711")).unwrap();
    scene.wait_for_log(messages::MAY_NOT_WAKE).unwrap();
    assert!(!scene.log().contains(messages::STARTING), "{}", scene.log());
    visit(LINE);
    scene.wait_for_log(messages::STARTING).unwrap();
}
