//! `HAProxy` and nginx as servers read dormouse's PROXY headers.

use std::net::SocketAddr;

use dormouse_tests::wait::SOON;
use dormouse_tests::{Family, Listener};

use super::peers::Peer;
use super::scene::Scene;

/// Returns the client address that a web server reports after it read a PROXY header.
fn ask(to: &str, version: &str) -> (SocketAddr, String) {
    let keys = format!("proxy_protocol = {version}");
    let scene = Scene::in_front_of(Listener::bind(Family::Tcp4).unwrap(), to, "127.0.0.1:0", &keys).unwrap();
    let client = scene.client().unwrap();
    client.send(b"GET / HTTP/1.0\r\n\r\n", SOON).unwrap();
    let answer = client.receive_to_end(SOON).unwrap().bytes;
    let answer = String::from_utf8(answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}; {}", scene.log()));
    (client.socket().local_addr().unwrap().as_socket().unwrap(), body.to_owned())
}

#[test]
fn haproxy_accepts_the_proxy_header() {
    let answer = "http-request return status 200 content-type text/plain lf-string %[src]:%[src_port],%[fc_pp_unique_id]";
    let haproxy =
        Peer::haproxy(&format!("frontend web\n mode http\n bind fd@3 accept-proxy\n {answer}\n")).unwrap();
    let to = haproxy.address().to_string();
    for version in ["\"v1\"", "\"v2\""] {
        let (client, answer) = ask(&to, version);
        assert_eq!(answer, format!("{client},"));
    }
    let (client, answer) = ask(&to, "{ version = \"v2\", unique_id = true }");
    let id = answer.strip_prefix(&format!("{client},")).unwrap_or_else(|| panic!("{answer:?}"));
    assert!(id.len() > 16 && id.is_ascii(), "{id:?}");
}

#[test]
fn nginx_accepts_the_proxy_header() {
    let answer = "return 200 $proxy_protocol_addr:$proxy_protocol_port;";
    let nginx = Peer::nginx(&format!(
        "server {{\nlisten unix:DIR/web proxy_protocol;\nlocation / {{ {answer} }}\n}}"
    ))
    .unwrap();
    let to = nginx.socket("web").unwrap().to_string_lossy().into_owned();
    for version in ["\"v1\"", "\"v2\"", "{ unique_id = true, credentials = true }"] {
        let (client, answer) = ask(&to, version);
        assert_eq!(answer, client.to_string());
    }
}
