//! IP networks: parsing, and the addresses that they contain.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its body does")]

use std::net::IpAddr;

use dormouse_core::network::{Network, NetworkError};
use proptest::prelude::*;

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

#[test]
fn networks_contain_their_addresses() {
    for (range, inside, outside) in [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
        ("192.168.1.7", "192.168.1.7", "192.168.1.6"),
        ("::1", "::1", "::2"),
        ("fd00::/8", "fdff::1", "fe00::"),
        ("0.0.0.0/0", "255.1.2.3", "::1"),
        ("::/0", "fe80::1", "1.2.3.4"),
        ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
        ("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"),
    ] {
        assert!(network(range).contains(inside.parse().unwrap()), "{inside} in {range}");
        assert!(!network(range).contains(outside.parse().unwrap()), "{outside} not in {range}");
    }
}

#[test]
fn invalid_networks_are_refused_with_the_reason() {
    for (text, reason) in [
        ("", "not an IP address or range (write for example 10.0.0.0/8 or ::1)"),
        ("localhost", "not an IP address or range (write for example 10.0.0.0/8 or ::1)"),
        ("10.0.0.0/33", "the prefix length after / must be 0 to 32"),
        ("10.0.0.0/", "the prefix length after / must be 0 to 32"),
        ("::/+1", "the prefix length after / must be 0 to 128"),
        ("10.1.2.3/8", "the address has bits set after the prefix (write 10.0.0.0/8)"),
        ("fd00::1/64", "the address has bits set after the prefix (write fd00::/64)"),
    ] {
        assert_eq!(text.parse::<Network>().unwrap_err().to_string(), reason, "{text:?}");
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

proptest! {
    #[test]
    fn any_text_is_parsed_without_a_panic(text in "\\PC{0,30}") {
        let _ = text.parse::<Network>();
    }

    #[test]
    fn a_printed_network_is_parsed_to_itself(address in address(), prefix in 0u8..=128) {
        let prefix = if address.is_ipv4() { prefix % 33 } else { prefix };
        let range = match format!("{address}/{prefix}").parse::<Network>() {
            Ok(range) | Err(NetworkError::HostBits(range)) => range,
            Err(error) => panic!("{error}"),
        };
        prop_assert_eq!(range.to_string().parse(), Ok(range));
        prop_assert!(range.contains(range.address));
        prop_assert!(range.contains(address));
    }

    #[test]
    fn no_network_panics(address in address(), prefix: u8, other in address()) {
        let range = Network { address, prefix_len: prefix };
        let _ = (range.contains(other), range.to_string());
    }
}
