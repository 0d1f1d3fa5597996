//! PROXY headers from dormouse to the server.

use dormouse_tests::messages;
use dormouse_tests::wait::SOON;
use dormouse_tests::{Family, Listener, Stream};

use super::scene::Scene;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A received version 2 header.
struct Header {
    command_and_family: [u8; 2],
    addresses: Vec<u8>,
    tlvs: Vec<(u8, Vec<u8>)>,
}

impl Header {
    fn read(stream: &Stream) -> Self {
        let start = stream.receive(16, SOON).unwrap();
        assert_eq!(&start[..12], SIGNATURE);
        let length = usize::from(u16::from_be_bytes([start[14], start[15]]));
        let mut payload = stream.receive(length, SOON).unwrap();
        let size = match start[13] {
            0x11 => 12,
            0x21 => 36,
            0x31 => 216,
            other => panic!("family {other:#x}"),
        };
        let (mut rest, mut tlvs) = (payload.split_off(size), Vec::new());
        while !rest.is_empty() {
            let length = usize::from(u16::from_be_bytes([rest[1], rest[2]]));
            tlvs.push((rest[0], rest[3..3 + length].to_vec()));
            rest.drain(..3 + length);
        }
        Self { command_and_family: [start[12], start[13]], addresses: payload, tlvs }
    }

    fn tlv(&self, kind: u8) -> Option<&[u8]> {
        self.tlvs.iter().find(|(found, _)| *found == kind).map(|(_, value)| value.as_slice())
    }

    fn number(&self, kind: u8) -> u32 {
        u32::from_be_bytes(self.tlv(kind).unwrap().try_into().unwrap())
    }
}

#[test]
fn the_header_of_a_local_client_contains_credentials_and_socket_path() {
    let keys = "proxy_protocol = { unique_id = true, credentials = true }";
    let scene = Scene::listening("DIR/front", keys).unwrap();
    let client = scene.local_client("front").unwrap();
    let server = scene.server.accept(SOON).unwrap();
    let header = Header::read(&server);
    assert_eq!(header.command_and_family, [0x21, 0x31]);
    let to = &header.addresses[108..];
    let end = to.iter().position(|byte| *byte == 0).unwrap();
    assert_eq!(String::from_utf8_lossy(&to[..end]), scene.path("front").to_string_lossy());
    assert_eq!(header.number(0xe2), std::process::id());
    assert_eq!(header.number(0xe0), rustix::process::geteuid().as_raw());
    assert_eq!(header.number(0xe1), rustix::process::getegid().as_raw());
    let id = String::from_utf8(header.tlv(5).unwrap().to_vec()).unwrap();
    drop((client, server));
    scene.wait_for_log(&messages::session_held("main", &format!("a local client ({id})"))).unwrap();
}

#[test]
fn the_header_of_an_outer_proxy_passes_through_two_dormice() {
    let last = Scene::new("accept_proxy = true\nproxy_protocol = \"v2\"").unwrap();
    let first = Scene::in_front_of(
        Listener::bind(Family::Tcp4).unwrap(),
        &last.port().unwrap().to_string(),
        "127.0.0.1:0",
        "accept_proxy = true\nproxy_protocol = { version = \"v2\", unique_id = true }",
    )
    .unwrap();
    let client = first.client().unwrap();
    let addresses = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0, 80];
    let authority = b"\x02\0\x0bexample.org";
    let length = u8::try_from(addresses.len() + authority.len()).unwrap();
    client
        .send(&[SIGNATURE, &[0x21, 0x11, 0, length], &addresses, authority, b"hello"].concat(), SOON)
        .unwrap();
    let server = last.server.accept(SOON).unwrap();
    let header = Header::read(&server);
    assert_eq!((header.command_and_family, header.addresses.as_slice()), ([0x21, 0x11], &addresses[..]));
    assert_eq!(header.tlv(2), Some(&b"example.org"[..]));
    assert_eq!(header.tlv(5), None, "the identifier of the first is not that of the last");
    assert_eq!(server.receive(5, SOON).unwrap(), b"hello");
    drop((client, server));
    last.wait_for_log(&messages::session_held("main", "192.0.2.7:4711")).unwrap();
}

/// A local client sends a header in which it claims to be root, process 1 and another session.
#[test]
fn a_client_cannot_write_the_fields_that_dormouse_vouches_for() {
    let claim = |credentials: bool| {
        let keys = format!(
            "accept_proxy = [\"10.0.0.0/8\"]\nproxy_protocol = {{ version = \"v2\", credentials = {credentials} }}"
        );
        let scene = Scene::listening("DIR/front", &keys).unwrap();
        let client = scene.local_client("front").unwrap();
        let addresses = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0, 80];
        let number = |kind: u8, value: u8| [kind, 0, 4, 0, 0, 0, value];
        let tlvs = [
            &number(0xe0, 0)[..],
            &number(0xe1, 0),
            &number(0xe2, 1),
            b"\x05\0\x06forged",
            b"\x02\0\x0bexample.org",
        ]
        .concat();
        let length = u8::try_from(addresses.len() + tlvs.len()).unwrap();
        client.send(&[SIGNATURE, &[0x21, 0x11, 0, length], &addresses, &tlvs].concat(), SOON).unwrap();
        Header::read(&scene.server.accept(SOON).unwrap()).tlvs
    };
    for credentials in [false, true] {
        let tlvs = claim(credentials);
        assert_eq!(tlvs, [(0x02, b"example.org".to_vec())], "credentials = {credentials}");
    }
}
