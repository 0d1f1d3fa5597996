//! Any bytes are answered, the answer does not depend on how they arrive, and what is written is read back.
#![no_main]

use arbitrary::Arbitrary;
use dormouse_core::proxy_protocol::{
    Addresses, Decoded, MAX_V1_HEADER, MAX_V2_PAYLOAD, Tlv, Version, decode, encode, encode_v2,
};
use libfuzzer_sys::fuzz_target;

const PP2_TYPE_CRC32C: u8 = 0x03;

#[derive(Debug, Arbitrary)]
enum Input {
    Bytes(Vec<u8>),
    /// Bytes behind one of the two beginnings, which chance would seldom find.
    V1(Vec<u8>),
    V2(Vec<u8>),
    Inet {
        v6: bool,
        src: ([u8; 16], u16),
        dst: ([u8; 16], u16),
        tlvs: Vec<(u8, Vec<u8>)>,
    },
    Unix {
        src: Vec<u8>,
        dst: Vec<u8>,
        tlvs: Vec<(u8, Vec<u8>)>,
    },
    Unknown {
        tlvs: Vec<(u8, Vec<u8>)>,
    },
}

fuzz_target!(|input: Input| {
    match input {
        Input::Bytes(bytes) => check_arrival(&bytes),
        Input::V1(bytes) => check_arrival(&[b"PROXY ", &bytes[..]].concat()),
        Input::V2(bytes) => check_arrival(&[b"\r\n\r\n\0\r\nQUIT\n", &bytes[..]].concat()),
        Input::Inet { v6, src, dst, tlvs } => {
            let addr = |(ip, port): ([u8; 16], u16)| match ip {
                _ if v6 => (ip, port).into(),
                [a, b, c, d, ..] => ([a, b, c, d], port).into(),
            };
            check_round_trip(Addresses::Inet { src: addr(src), dst: addr(dst) }, tlvs);
        }
        Input::Unix { src, dst, tlvs } => {
            check_round_trip(Addresses::Unix { src: kernel_name(src), dst: kernel_name(dst) }, tlvs);
        }
        Input::Unknown { tlvs } => check_round_trip(Addresses::Unknown, tlvs),
    }
});

/// Byte by byte, the first answer that is not "need more" is the answer for the whole.
fn check_arrival(bytes: &[u8]) {
    let at_once = decode(bytes);
    let first =
        (0..=bytes.len()).map(|end| decode(&bytes[..end])).find(|decoded| *decoded != Decoded::NeedMore);
    assert_eq!(first.unwrap_or(Decoded::NeedMore), at_once);
    match at_once {
        Decoded::Header { consumed, .. } => assert!(consumed <= bytes.len()),
        Decoded::NeedMore => assert!(bytes.len() < 16 + MAX_V2_PAYLOAD),
        Decoded::NotProxy | Decoded::Invalid(_) => {}
    }
}

fn check_round_trip(addresses: Addresses, tlvs: Vec<(u8, Vec<u8>)>) {
    let mut v1 = Vec::new();
    encode(Version::V1, &addresses, &mut v1);
    assert!(v1.len() <= MAX_V1_HEADER);
    let expected = match &addresses {
        Addresses::Unix { .. } => Addresses::Unknown,
        other => other.clone(),
    };
    check_read_back(Version::V1, expected, Vec::new(), &v1);

    // A checksum would be a wrong one.
    let tlvs = tlvs.into_iter().filter(|(kind, _)| *kind != PP2_TYPE_CRC32C);
    let tlvs: Vec<_> = tlvs.map(|(kind, value)| Tlv { kind, value }).collect();
    let mut v2 = Vec::new();
    match encode_v2(&addresses, &tlvs, &mut v2) {
        Ok(()) => check_read_back(Version::V2, addresses, tlvs, &v2),
        Err(_) => assert!(v2.is_empty()),
    }
}

fn check_read_back(version: Version, addresses: Addresses, tlvs: Vec<Tlv>, header: &[u8]) {
    let consumed = header.len();
    assert_eq!(decode(header), Decoded::Header { version, addresses, tlvs, consumed });
    check_arrival(&[header, b"rest"].concat());
}

/// Returns a name as the kernel reports it: at most 108 bytes, and no zero bytes where they look like padding.
fn kernel_name(mut name: Vec<u8>) -> Vec<u8> {
    name.truncate(108);
    if name.first() != Some(&0) {
        name.retain(|byte| *byte != 0);
    }
    while name.last() == Some(&0) {
        name.pop();
    }
    name
}
