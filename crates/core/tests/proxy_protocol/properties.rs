//! Properties of the codec, and the `ppp` crate as a reference.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use dormouse_core::proxy_protocol::{
    Addresses, DecodeError, Decoded, MAX_V2_PAYLOAD, Tlv, Version, decode, encode, encode_v2,
};
use ppp::{HeaderResult, v1, v2};
use proptest::prelude::*;

use super::{PP2_TYPE_CRC32C, SIGNATURE, encoded};

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
