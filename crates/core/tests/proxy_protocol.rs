//! The PROXY codec: tables of cases, properties, and the `ppp` crate as a reference.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use dormouse_core::proxy_protocol::{
    Addresses, DecodeError, Decoded, EncodeError, MAX_V2_PAYLOAD, Tlv, Version, decode, encode, encode_v2,
};
use ppp::{HeaderResult, v1, v2};
use proptest::prelude::*;

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

fn socket_v4() -> impl Strategy<Value = SocketAddr> {
    any::<(Ipv4Addr, u16)>().prop_map(SocketAddr::from)
}

fn socket_v6() -> impl Strategy<Value = SocketAddr> {
    let mapped = any::<Ipv4Addr>().prop_map(|addr| addr.to_ipv6_mapped());
    (prop_oneof![any::<Ipv6Addr>(), mapped], any::<u16>()).prop_map(SocketAddr::from)
}

/// A name as the kernel reports it: empty, a path, or an abstract name. An abstract name may contain zero bytes, but a
/// zero byte at the end could not be distinguished from the padding.
fn unix_name() -> impl Strategy<Value = Vec<u8>> {
    let abstract_name = (prop::collection::vec(any::<u8>(), 0..107), 1..=255_u8)
        .prop_map(|(middle, last)| [&[0], &middle[..], &[last]].concat());
    prop_oneof![Just(vec![]), prop::collection::vec(1..=255_u8, 1..=108), abstract_name]
}

fn some_inet() -> impl Strategy<Value = Addresses> {
    let v4 = (socket_v4(), socket_v4()).prop_map(|(src, dst)| Addresses::Inet { src, dst });
    let v6 = (socket_v6(), socket_v6()).prop_map(|(src, dst)| Addresses::Inet { src, dst });
    prop_oneof![v4, v6]
}

fn some_addresses() -> impl Strategy<Value = Addresses> {
    let unix = (unix_name(), unix_name()).prop_map(|(src, dst)| Addresses::Unix { src, dst });
    prop_oneof![4 => some_inet(), 2 => unix, 1 => Just(Addresses::Unknown)]
}

/// Random TLVs except checksums, which would be wrong.
fn some_tlvs() -> impl Strategy<Value = Vec<Tlv>> {
    let kind = any::<u8>().prop_filter("a checksum", |kind| *kind != PP2_TYPE_CRC32C);
    let tlv = (kind, prop::collection::vec(any::<u8>(), 0..20));
    prop::collection::vec(tlv.prop_map(|(kind, value)| Tlv { kind, value }), 0..4)
}

/// Headers with one changed byte, or truncated.
fn nearly_a_header() -> impl Strategy<Value = Vec<u8>> {
    let header = (some_addresses(), some_tlvs(), any::<bool>()).prop_map(|(addresses, tlvs, v1)| {
        let mut out = Vec::new();
        if v1 {
            encode(Version::V1, &addresses, &mut out);
        } else {
            encode_v2(&addresses, &tlvs, &mut out).unwrap();
        }
        out
    });
    (header, any::<prop::sample::Index>(), any::<u8>(), any::<bool>(), any::<prop::sample::Index>()).prop_map(
        |(mut bytes, place, byte, change, end)| {
            if change {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            } else {
                bytes.truncate(end.index(bytes.len()));
            }
            bytes
        },
    )
}

/// Every result except `NeedMore` must stay the same when more bytes arrive.
fn check_every_prefix(bytes: &[u8]) -> Result<(), TestCaseError> {
    let at_once = decode(bytes);
    for end in 0..=bytes.len() {
        let so_far = decode(&bytes[..end]);
        if so_far != Decoded::NeedMore {
            prop_assert_eq!(so_far, at_once, "after {} bytes", end);
            return Ok(());
        }
    }
    prop_assert_eq!(at_once, Decoded::NeedMore);
    prop_assert!(bytes.len() < 16 + MAX_V2_PAYLOAD);
    Ok(())
}

/// The result of `ppp` in our types. `None`: it needs more bytes or finds an error.
fn second_opinion(bytes: &[u8]) -> Option<(Addresses, usize)> {
    Some(match HeaderResult::parse(bytes) {
        HeaderResult::V1(header) => {
            let header = header.ok()?;
            let addresses = match header.addresses {
                v1::Addresses::Tcp4(ip) => Addresses::Inet {
                    src: (ip.source_address, ip.source_port).into(),
                    dst: (ip.destination_address, ip.destination_port).into(),
                },
                v1::Addresses::Tcp6(ip) => Addresses::Inet {
                    src: (ip.source_address, ip.source_port).into(),
                    dst: (ip.destination_address, ip.destination_port).into(),
                },
                v1::Addresses::Unknown => Addresses::Unknown,
            };
            (addresses, header.header.len())
        }
        HeaderResult::V2(header) => {
            let header = header.ok()?;
            let stream = header.command == v2::Command::Proxy && header.protocol == v2::Protocol::Stream;
            let addresses = match header.addresses {
                _ if !stream => Addresses::Unknown,
                v2::Addresses::IPv4(ip) => Addresses::Inet {
                    src: (ip.source_address, ip.source_port).into(),
                    dst: (ip.destination_address, ip.destination_port).into(),
                },
                v2::Addresses::IPv6(ip) => Addresses::Inet {
                    src: (ip.source_address, ip.source_port).into(),
                    dst: (ip.destination_address, ip.destination_port).into(),
                },
                v2::Addresses::Unix(names) => {
                    Addresses::Unix { src: trimmed(&names.source), dst: trimmed(&names.destination) }
                }
                v2::Addresses::Unspecified => Addresses::Unknown,
            };
            (addresses, header.len())
        }
    })
}

/// Whether a word of the line begins with a plus.
fn has_sign(line: &[u8]) -> bool {
    line.windows(2).any(|pair| pair == b" +")
}

fn trimmed(name: &[u8]) -> Vec<u8> {
    let end = if name[0] == 0 {
        name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
    } else {
        name.iter().position(|byte| *byte == 0).unwrap_or(name.len())
    };
    name[..end].to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn v1_round_trip(addresses in some_inet(), tail in prop::collection::vec(any::<u8>(), 0..4)) {
        let header = encoded(Version::V1, &addresses);
        prop_assert!(header.len() <= 107);
        let decoded = decode(&[&header[..], &tail].concat());
        let consumed = header.len();
        prop_assert_eq!(decoded, Decoded::Header { version: Version::V1, addresses, tlvs: vec![], consumed });
    }

    #[test]
    fn v2_round_trip(addresses in some_addresses(), tlvs in some_tlvs(), tail in any::<[u8; 3]>()) {
        let mut header = Vec::new();
        encode_v2(&addresses, &tlvs, &mut header).unwrap();
        let decoded = decode(&[&header[..], &tail].concat());
        let consumed = header.len();
        prop_assert_eq!(decoded, Decoded::Header { version: Version::V2, addresses, tlvs, consumed });
    }

    #[test]
    fn results_are_final(bytes in nearly_a_header()) {
        check_every_prefix(&bytes)?;
    }

    #[test]
    fn any_bytes_are_parsed_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        check_every_prefix(&bytes)?;
        check_every_prefix(&[b"PROXY ", &bytes[..], b"\r\n"].concat())?;
        check_every_prefix(&[SIGNATURE, &bytes].concat())?;
    }

    #[test]
    fn ppp_decodes_our_headers(addresses in some_addresses()) {
        let v2 = encoded(Version::V2, &addresses);
        prop_assert_eq!(second_opinion(&v2), Some((addresses.clone(), v2.len())));
        let v1 = encoded(Version::V1, &addresses);
        let expected = match addresses {
            Addresses::Unix { .. } => Addresses::Unknown,
            other => other,
        };
        prop_assert_eq!(second_opinion(&v1), Some((expected, v1.len())));
    }

    /// If both decoders find a header, the headers are equal. If `ppp` finds one, we find one too, except for the
    /// headers that we refuse on purpose.
    #[test]
    fn ppp_agrees_with_our_decoder(bytes in nearly_a_header()) {
        match (decode(&bytes), second_opinion(&bytes)) {
            (Decoded::Header { addresses, consumed, .. }, Some(theirs)) => {
                prop_assert_eq!((addresses, consumed), theirs);
            }
            // `ppp` parses TLVs only on request, and accepts lines that are too long and bare line feeds in UNKNOWN
            // lines.
            (
                Decoded::Invalid(
                    DecodeError::TlvCutShort
                    | DecodeError::Checksum
                    | DecodeError::TooLong { .. }
                    | DecodeError::BareLineFeed,
                ),
                _,
            ) => {}
            // `ppp` accepts a port with a sign.
            (Decoded::Invalid(DecodeError::MalformedLine), Some(_)) if has_sign(&bytes) => {}
            (ours, Some(theirs)) => prop_assert!(false, "ppp decodes {:?}, we decode {:?}", theirs, ours),
            // `ppp` is stricter than the specification about the payload of LOCAL headers.
            (Decoded::Header { addresses, .. }, None) => prop_assert_eq!(addresses, Addresses::Unknown),
            (_, None) => {}
        }
    }
}
