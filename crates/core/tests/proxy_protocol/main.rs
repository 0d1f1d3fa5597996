//! The PROXY codec: tables of cases, and properties.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]

mod properties;

use dormouse_core::proxy_protocol::{
    Addresses, DecodeError, Decoded, EncodeError, MAX_V2_PAYLOAD, Tlv, Version, decode, encode, encode_v2,
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const PP2_TYPE_CRC32C: u8 = 0x03;

fn inet(src: &str, dst: &str) -> Addresses {
    Addresses::Inet { src: src.parse().unwrap(), dst: dst.parse().unwrap() }
}

fn encoded(version: Version, addresses: &Addresses) -> Vec<u8> {
    let mut out = Vec::new();
    encode(version, addresses, &mut out);
    out
}

fn line(addresses: &Addresses) -> String {
    String::from_utf8(encoded(Version::V1, addresses)).unwrap()
}

fn v2_header(version_and_command: u8, family: u8, length: u16, payload: &[u8]) -> Vec<u8> {
    [SIGNATURE, &[version_and_command, family], &length.to_be_bytes(), payload].concat()
}

fn addresses_of(decoded: Decoded) -> Addresses {
    match decoded {
        Decoded::Header { addresses, .. } => addresses,
        other => panic!("not a header: {other:?}"),
    }
}

#[test]
fn v1_headers_are_encoded() {
    for (src, dst, expected) in [
        ("192.0.2.1:1", "198.51.100.2:65535", "PROXY TCP4 192.0.2.1 198.51.100.2 1 65535\r\n"),
        ("[2001:db8::1]:1000", "[::1]:80", "PROXY TCP6 2001:db8::1 ::1 1000 80\r\n"),
        (
            "[::ffff:192.0.2.1]:5",
            "[::ffff:127.0.0.1]:6",
            "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:127.0.0.1 5 6\r\n",
        ),
        ("192.0.2.1:1", "[::1]:2", "PROXY UNKNOWN\r\n"),
    ] {
        assert_eq!(line(&inet(src, dst)), expected);
    }
    assert_eq!(line(&Addresses::Unix { src: vec![], dst: b"/run/x".to_vec() }), "PROXY UNKNOWN\r\n");
    assert_eq!(line(&Addresses::Unknown), "PROXY UNKNOWN\r\n");
}

#[test]
fn v2_headers_are_encoded() {
    let v4 = inet("192.0.2.1:258", "198.51.100.2:80");
    assert_eq!(
        encoded(Version::V2, &v4),
        v2_header(0x21, 0x11, 12, &[192, 0, 2, 1, 198, 51, 100, 2, 1, 2, 0, 80])
    );
    assert_eq!(encoded(Version::V2, &Addresses::Unknown), v2_header(0x20, 0, 0, &[]));

    let unix = encoded(Version::V2, &Addresses::Unix { src: b"\0name".to_vec(), dst: b"/run/x".to_vec() });
    assert_eq!(unix.len(), 16 + 216);
    assert!(unix[16..].starts_with(b"\0name\0"));
    assert!(unix[16 + 108..].starts_with(b"/run/x\0"));
}

#[test]
fn v2_encodes_unsupported_addresses_as_local() {
    let too_long = Addresses::Unix { src: vec![b'x'; 109], dst: vec![] };
    for addresses in [too_long, inet("192.0.2.1:1", "[::1]:2")] {
        assert_eq!(encoded(Version::V2, &addresses), encoded(Version::V2, &Addresses::Unknown));
    }
}

#[test]
fn tlvs_are_limited() {
    let v4 = inet("192.0.2.1:1", "192.0.2.2:2");
    let tlv = |length| [Tlv { kind: 0xe0, value: vec![7; length] }];
    let mut out = Vec::new();
    encode_v2(&v4, &tlv(MAX_V2_PAYLOAD - 12 - 3), &mut out).unwrap();
    assert_eq!(out.len(), 16 + MAX_V2_PAYLOAD);
    assert!(matches!(decode(&out), Decoded::Header { tlvs, .. } if tlvs.len() == 1));

    let mut out = Vec::new();
    let error = encode_v2(&v4, &tlv(MAX_V2_PAYLOAD - 12 - 2), &mut out).unwrap_err();
    assert_eq!(error, EncodeError::TooLong { length: MAX_V2_PAYLOAD + 1 });
    assert!(out.is_empty());
}

#[test]
fn other_bytes_are_not_a_header() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"PROXYFOO", b"PROXY\r\n", b"\r\n\r\n\r", b"P\r", b"\0"] {
        assert_eq!(decode(bytes), Decoded::NotProxy, "{bytes:?}");
    }
    for bytes in [&b""[..], b"P", b"PROXY", b"PROXY TCP4 1.2", b"\r\n", SIGNATURE] {
        assert_eq!(decode(bytes), Decoded::NeedMore, "{bytes:?}");
    }
}

#[test]
fn v1_headers_are_decoded() {
    let bytes = b"PROXY TCP4 192.0.2.1 198.51.100.2 1 65535\r\nhello";
    assert_eq!(
        decode(bytes),
        Decoded::Header {
            version: Version::V1,
            addresses: inet("192.0.2.1:1", "198.51.100.2:65535"),
            tlvs: vec![],
            consumed: bytes.len() - 5
        }
    );
    for unknown in [&b"PROXY UNKNOWN\r\n"[..], b"PROXY UNKNOWN \xff what ever\r\n"] {
        assert_eq!(addresses_of(decode(unknown)), Addresses::Unknown);
    }
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 16));
    assert_eq!(longest.len(), 107);
    assert_eq!(addresses_of(decode(longest.as_bytes())), Addresses::Unknown);
}

#[test]
fn invalid_v1_headers_are_refused() {
    for text in [
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2  2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 ::1%lo ::1 1 2\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
    ] {
        assert_eq!(decode(text.as_bytes()), Decoded::Invalid(DecodeError::MalformedLine), "{text:?}");
    }
    assert_eq!(decode(b"PROXY UNKNOWN\n"), Decoded::Invalid(DecodeError::BareLineFeed));
    let endless = format!("PROXY UNKNOWN {}", "f".repeat(200));
    assert_eq!(decode(endless.as_bytes()), Decoded::Invalid(DecodeError::LineTooLong));
}

#[test]
fn v2_headers_are_decoded() {
    let payload = [192, 0, 2, 1, 198, 51, 100, 2, 1, 2, 0, 80, /* TLV */ 4, 0, 1, 9];
    let bytes = [v2_header(0x21, 0x11, 16, &payload), b"hello".to_vec()].concat();
    assert_eq!(
        decode(&bytes),
        Decoded::Header {
            version: Version::V2,
            addresses: inet("192.0.2.1:258", "198.51.100.2:80"),
            tlvs: vec![Tlv { kind: 4, value: vec![9] }],
            consumed: bytes.len() - 5
        }
    );
}

/// A header without addresses may have any payload.
#[test]
fn v2_headers_without_addresses_are_decoded() {
    for header in [
        v2_header(0x20, 0x00, 0, &[]),
        v2_header(0x20, 0x11, 12, &[1; 12]),
        v2_header(0x20, 0x11, 3, &[1; 3]),
        v2_header(0x20, 0xff, 5, &[0xff; 5]),
        v2_header(0x21, 0x00, 5, &[0xff; 5]),
        v2_header(0x21, 0x12, 12, &[1; 12]),
        v2_header(0x21, 0x20, 36, &[1; 36]),
    ] {
        let decoded = decode(&header);
        assert!(
            matches!(&decoded, Decoded::Header { addresses: Addresses::Unknown, tlvs, consumed, .. }
                if tlvs.is_empty() && *consumed == header.len()),
            "{header:?}: {decoded:?}"
        );
    }
}

#[test]
fn invalid_v2_headers_are_refused() {
    for (header, error) in [
        (v2_header(0x11, 0x11, 12, &[0; 12]), DecodeError::VersionOrCommand(0x11)),
        (v2_header(0x22, 0x11, 12, &[0; 12]), DecodeError::VersionOrCommand(0x22)),
        (v2_header(0x21, 0x13, 12, &[0; 12]), DecodeError::Family(0x13)),
        (v2_header(0x21, 0x41, 12, &[0; 12]), DecodeError::Family(0x41)),
        (v2_header(0x21, 0x11, 11, &[0; 11]), DecodeError::AddressesCutShort { length: 11 }),
        (v2_header(0x21, 0x11, 4097, &[]), DecodeError::TooLong { length: 4097 }),
        (v2_header(0x21, 0x11, 14, &[0; 14]), DecodeError::TlvCutShort),
        (v2_header(0x21, 0x11, 16, &[1; 16]), DecodeError::TlvCutShort),
    ] {
        assert_eq!(decode(&header), Decoded::Invalid(error), "{header:?}");
    }
}

/// A checksum covers the whole header with zeros in its own place, and does not need to be the last TLV.
#[test]
fn v2_checksums_are_verified() {
    let addresses = inet("192.0.2.1:56324", "192.0.2.9:443");
    let header = |stored: &[u8]| {
        let tlv = |kind, value: &[u8]| Tlv { kind, value: value.to_vec() };
        let mut out = Vec::new();
        encode_v2(&addresses, &[tlv(1, b"h2"), tlv(PP2_TYPE_CRC32C, stored), tlv(4, &[])], &mut out).unwrap();
        out
    };
    // The value is from another implementation of CRC-32C.
    let right = 0x7776_4a93_u32.to_be_bytes();
    let whole = header(&right);
    let Decoded::Header { tlvs, consumed, .. } = decode(&whole) else {
        panic!("{:?}", decode(&whole));
    };
    assert_eq!(consumed, whole.len());
    assert_eq!(tlvs.iter().map(|tlv| tlv.kind).collect::<Vec<_>>(), [1, 4]);

    // Bits of the addresses, of the value before the checksum, and of the checksum itself.
    for place in (16..28).chain(31..33).chain(36..40) {
        for bit in 0..8 {
            let mut other = whole.clone();
            other[place] ^= 1 << bit;
            let decoded = decode(&other);
            assert_eq!(decoded, Decoded::Invalid(DecodeError::Checksum), "bit {bit} of byte {place}");
        }
    }
    for stored in [&[][..], &[0; 4], &right[..3], &[&right[..], &[0]].concat()] {
        assert_eq!(decode(&header(stored)), Decoded::Invalid(DecodeError::Checksum), "{stored:?}");
    }
    let twice = v2_header(
        0x21,
        0x11,
        26,
        &[[0; 12].as_slice(), &[PP2_TYPE_CRC32C, 0, 4, 0, 0, 0, 0].repeat(2)].concat(),
    );
    assert_eq!(decode(&twice), Decoded::Invalid(DecodeError::Checksum));
    // A header without addresses may have any bytes after them.
    let nothing = v2_header(0x21, 0x00, 7, &[PP2_TYPE_CRC32C, 0, 4, 1, 2, 3, 4]);
    assert_eq!(addresses_of(decode(&nothing)), Addresses::Unknown);
}
