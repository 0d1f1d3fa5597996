//! Addresses: valid and invalid texts, the advice in the errors, and round trips.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;

use dormouse_core::address::{AddressError, Host, ListenAddress, Port, Target};
use proptest::prelude::*;

fn target(text: &str) -> Result<Target, AddressError> {
    Target::parse(OsStr::new(text))
}

fn host(text: &str) -> Host {
    match target(text) {
        Ok(Target::Tcp { host, .. }) => host,
        other => panic!("{text:?} is not a TCP target: {other:?}"),
    }
}

fn ip(text: &str) -> IpAddr {
    match host(text) {
        Host::Ip(ip) => ip,
        other => panic!("{text:?} is not an address: {other:?}"),
    }
}

#[test]
fn valid_targets_are_parsed() {
    for (text, printed) in [
        ("/run/x.sock", "/run/x.sock"),
        ("/run/with:colon@and space", "/run/with:colon@and space"),
        ("@name", "@name"),
        ("@/a/b", "@/a/b"),
        ("vsock:2:80", "vsock:2:80"),
        ("vsock:0x10:0", "vsock:16:0"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("127.0.0.1", "127.0.0.1:80"),
        ("127.1:1", "127.0.0.1:1"),
        ("0:8080", "0.0.0.0:8080"),
        ("0", "0.0.0.0:80"),
        ("127.0.0.1:080", "127.0.0.1:80"),
        ("::1:8080", "[::1]:8080"),
        (":::8080", "[::]:8080"),
        ("[::1]:8080", "[::1]:8080"),
        ("[::1]", "[::1]:80"),
        ("1:2:3:4:5:6:7:8:9", "[1:2:3:4:5:6:7:8]:9"),
        ("::ffff:192.0.2.1:9", "[::ffff:192.0.2.1]:9"),
        ("[fe80::1%eth0]:80", "[fe80::1%eth0]:80"),
        ("fe80::1%2:80", "[fe80::1%2]:80"),
        ("*:8080", "*:8080"),
        ("*", "*:80"),
        ("localhost", "localhost:80"),
        ("Example.org.:443", "Example.org.:443"),
        ("vsock.:80", "vsock.:80"),
        ("my_app-1:http", "my_app-1:http"),
        ("host:9pfs", "host:9pfs"),
        ("db.sock:80", "db.sock:80"),
        ("a.1:80", "a.1:80"),
        ("unix:80", "unix:80"),
        ("2130706433:80", "127.0.0.1:80"),
        ("240.0.0.1:80", "240.0.0.1:80"),
    ] {
        let parsed = target(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(parsed.to_string(), printed, "{text:?}");
        assert_eq!(target(printed), Ok(parsed), "{text:?}");
    }
}

#[test]
fn each_form_gives_its_kind_of_target() {
    assert_eq!(ip("[::1]:1"), IpAddr::V6(Ipv6Addr::LOCALHOST));
    assert_eq!(host("*"), Host::Loopback);
    assert!(matches!(host("fe80::1%lo:80"), Host::Scoped { zone, .. } if zone == "lo"));
    assert!(matches!(host("localhost:1"), Host::Name(name) if name.as_str() == "localhost"));
    assert!(
        matches!(target("a:http"), Ok(Target::Tcp { port: Port::Service(name), .. }) if name.as_str() == "http")
    );
    assert_eq!(Port::HTTP.to_string(), "80");
    assert_eq!(target("vsock:3:5"), Ok(Target::Vsock { cid: 3, port: 5 }));
}

#[test]
fn invalid_targets_are_refused() {
    for (text, advice) in [
        ("", "is empty"),
        ("12346", "did you mean 127.0.0.1:12346?"),
        ("80", "did you mean 127.0.0.1:80?"),
        ("12346:80", "0.0.48.58 cannot be used with TCP"),
        ("70000", "0.1.17.112 cannot be used with TCP"),
        ("::ffff:0.1.2.3:80", "no host has an address in 0.0.0.0/8"),
        ("224.0.0.1:80", "multicast"),
        ("[ff02::1]:80", "multicast"),
        ("255.255.255.255:80", "broadcast"),
        ("4294967295:80", "broadcast"),
        ("h:99999", "99999 is not a port (1 to 65535)"),
        ("h:0", "0 is not a port"),
        ("h:", "port is missing"),
        ("[::1]:", "port is missing"),
        (":80", "write 127.0.0.1:80, or *:80"),
        (":", "write 127.0.0.1:PORT"),
        ("h:+80", "neither a port nor the name of a service"),
        ("h: 80", "neither a port nor the name of a service"),
        ("h:8 0", "neither a port nor the name of a service"),
        ("h:-", "neither a port nor the name of a service"),
        ("b.sock", "write /run/b.sock"),
        ("run/b.sock", "write /run/b.sock"),
        ("./b", "write /run/b"),
        ("h:/b", "not an absolute path"),
        ("unix:/run/b.sock", "write /run/b.sock"),
        ("unix:@b", "write @b"),
        ("tcp:127.0.0.1:80", "write 127.0.0.1:80"),
        ("tcp://127.0.0.1:80", "write 127.0.0.1:80"),
        ("http://127.0.0.1:80/", "URLs are not supported"),
        ("@", "nothing follows the '@'"),
        ("/run/", "cannot be a socket"),
        ("/", "cannot be a socket"),
        ("vsock:80", "write vsock:CID:80"),
        ("vsock", "write vsock:CID:PORT"),
        ("vsock:", "write vsock:CID:PORT"),
        ("vsock::80", "write vsock:2:80"),
        ("vsock:x:80", "'x' is not a vsock CID"),
        ("vsock:-1:80", "'-1' is not a vsock CID"),
        ("vsock:4294967295:80", "is not a vsock CID"),
        ("vsock:2:", "'' is not a vsock port"),
        ("vsock:2:4294967295", "is not a vsock port"),
        ("vsock:2:80:9", "'80:9' is not a vsock port"),
        ("::1", "write [::1]:PORT"),
        ("2001:db8::5", "write [2001:db8::5]:PORT"),
        ("fe80::1%eth0", "write [fe80::1%eth0]:PORT"),
        ("[fe80::1]:80", "write [fe80::1%INTERFACE]:PORT"),
        ("fe80::1:80", "write [fe80::1%INTERFACE]:PORT"),
        ("[fe80::1%]:80", "is not a network interface"),
        ("fe80::1%a]b:80", "is not a network interface"),
        ("[fe80::1%a b]:80", "is not a network interface"),
        ("[fe80::1%sixteencharacter]:80", "is not a network interface"),
        ("[::1", "']' is missing"),
        ("[::1]80", "'80' follows ']'"),
        ("[localhost]:80", "'localhost' is not an IPv6 address"),
        ("[127.0.0.1]:80", "is not an IPv6 address"),
        ("a:b:80", "'a:b' is not an IPv6 address"),
        ("256.1.1.1:80", "is not an IPv4 address"),
        ("1.2.3.4.5:80", "is not an IPv4 address"),
        ("127.0.0.1.:80", "is not an IPv4 address"),
        ("08:80", "is not an IPv4 address"),
        ("1.16777216:80", "is not an IPv4 address"),
        ("1.2.3.4%lo:80", "is not a host name"),
        ("a b:80", "is not a host name"),
        (" a:80", "is not a host name"),
        ("a..b:80", "is not a host name"),
        ("-a:80", "is not a host name"),
        (".:80", "is not a host name"),
        ("b\u{fc}cher.example:80", "write an international name in its xn-- form"),
    ] {
        let error = target(text).expect_err(text).to_string();
        assert!(error.contains(advice), "{text:?} says {error:?}, not {advice:?}");
    }
}

#[test]
fn name_lengths_at_the_limit() {
    let path = |length: usize| format!("/{}", "x".repeat(length - 1));
    assert!(target(&path(107)).is_ok());
    assert_eq!(target(&path(108)), Err(AddressError::UnixPathTooLong { length: 108 }));

    let name = |length: usize| format!("@{}", "x".repeat(length));
    assert!(target(&name(107)).is_ok());
    assert_eq!(target(&name(108)), Err(AddressError::AbstractNameTooLong { length: 108 }));

    let label = "x".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "x".repeat(61));
    assert!(target(&longest).is_ok());
    assert!(target(&format!("{longest}.")).is_ok());
    assert!(target(&format!("{longest}x")).is_err());
    assert!(target(&format!("{label}x")).is_err());
}

#[test]
fn bytes_that_are_not_utf8() {
    let parse = |bytes: &[u8]| Target::parse(OsStr::from_bytes(bytes));
    assert!(
        matches!(parse(b"/\xff"), Ok(Target::Unix(path)) if path.as_path().as_os_str().as_bytes() == b"/\xff")
    );
    assert!(matches!(parse(b"@\xff"), Ok(Target::Abstract(name)) if name.as_bytes() == b"\xff"));
    assert!(matches!(parse(b"\xff:80"), Err(AddressError::HostNameNotAscii(_))));
    assert_eq!(parse(b"/a\0b"), Err(AddressError::ZeroByte));
    assert_eq!(parse(b"@a\0b"), Err(AddressError::ZeroByte));
}

#[test]
fn valid_listen_addresses_are_parsed() {
    for (text, printed) in [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("tcp:127.0.0.1:8080", "127.0.0.1:8080"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("0.0.0.0:80", "0.0.0.0:80"),
        ("*:80", "[::]:80"),
        (":80", "[::]:80"),
        ("tcp::80", "[::]:80"),
        ("[::]:80", "[::]:80"),
        ("[::1]:80", "[::1]:80"),
        ("::1:80", "[::1]:80"),
        ("[fe80::1%3]:80", "[fe80::1%3]:80"),
        ("localhost:80", "127.0.0.1:80"),
        ("/run/x", "/run/x"),
        ("unix:/run/x", "/run/x"),
        ("@x", "@x"),
        ("unix:@x", "@x"),
        ("unix:///run/x", "///run/x"),
        ("@tcp://x", "@tcp://x"),
        ("vsock:1:80", "vsock:1:80"),
        ("vsock::80", "vsock::80"),
    ] {
        let parsed = ListenAddress::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(parsed.to_string(), printed, "{text:?}");
        assert_eq!(printed.parse(), Ok(parsed), "{text:?}");
    }
}

#[test]
fn invalid_listen_addresses_are_refused() {
    for (text, advice) in [
        ("", "is empty"),
        ("tcp:", "is empty"),
        ("8080", "write 127.0.0.1:8080, or *:8080 for all addresses"),
        ("tcp:8080", "write 127.0.0.1:8080"),
        ("tcp://0.0.0.0:80", "write 0.0.0.0:80"),
        ("tcp://[::]:80/", "write [::]:80"),
        ("http://0.0.0.0:80", "URLs are not supported"),
        ("*", "port is missing"),
        ("127.0.0.1", "port is missing"),
        ("127.0.0.1:", "port is missing"),
        ("[::1]", "port is missing"),
        ("127.0.0.1:65536", "is not a port"),
        ("127.0.0.1:http", "'http' is not a port number"),
        ("127.1:80", "'127.1' is not an address to listen on"),
        ("example.org:80", "write an IP address, localhost or *"),
        ("224.0.0.1:80", "multicast"),
        ("0.0.0.1:80", "0.0.0.0/8"),
        ("::1", "write [::1]:PORT"),
        ("[::1", "']' is missing"),
        ("[::1]x", "'x' follows ']'"),
        ("[x]:80", "'x' is not an IPv6 address"),
        ("[fe80::1]:80", "needs an interface"),
        ("[fe80::1%eth0]:80", "must be a number"),
        ("x.sock", "write /run/x.sock"),
        ("unix:x", "write /run/x"),
        ("unix:", "not an absolute path"),
        ("@", "nothing follows the '@'"),
        ("vsock:80", "write vsock:CID:80"),
    ] {
        let error = ListenAddress::parse(text).expect_err(text).to_string();
        assert!(error.contains(advice), "{text:?} says {error:?}, not {advice:?}");
    }
}

/// Texts made of the parts of addresses.
fn nearly_an_address() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            ":",
            ":",
            "::",
            "[",
            "]",
            "%",
            ".",
            "*",
            "@",
            "/",
            "-",
            "+",
            " ",
            "vsock:",
            "unix:",
            "tcp:",
            "localhost",
            "fe80",
            "ffff",
            "eth0",
            "127.0.0.1",
            "0x",
            ".sock",
            "80",
        ])
        .prop_map(str::to_owned),
        "[0-9a-fx]{1,4}",
    ];
    prop::collection::vec(piece, 0..7).prop_map(|pieces| pieces.concat())
}

/// One to four numbers in C notation, small enough that most texts are addresses.
fn ipv4_in_any_form() -> impl Strategy<Value = String> {
    let number =
        prop_oneof![any::<u8>().prop_map(u64::from), any::<u16>().prop_map(u64::from), 0..1_u64 << 33];
    let part = (number, 0..3_u8).prop_map(|(number, form)| match form {
        0 => format!("{number}"),
        1 => format!("{number:#x}"),
        _ => format!("0{number:o}"),
    });
    prop::collection::vec(part, 1..=4).prop_map(|parts| parts.join("."))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn printed_values_are_parsed_to_themselves(text in nearly_an_address()) {
        if let Ok(target) = target(&text) {
            prop_assert_eq!(Target::parse(OsStr::new(&target.to_string())), Ok(target));
        }
        if let Ok(address) = ListenAddress::parse(&text) {
            prop_assert_eq!(ListenAddress::parse(&address.to_string()), Ok(address));
        }
    }

    #[test]
    fn any_bytes_are_parsed_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = Target::parse(OsStr::from_bytes(&bytes));
        let _ = ListenAddress::parse(&String::from_utf8_lossy(&bytes));
    }

    /// `getaddrinfo()` parses literals without a resolver, so it can check the parser.
    #[test]
    fn ipv4_addresses_are_parsed_as_the_c_library_does(text in ipv4_in_any_form()) {
        match target(&format!("{text}:9")) {
            Ok(Target::Tcp { host: Host::Ip(ours), .. }) => {
                let theirs: Vec<_> = (text.as_str(), 9).to_socket_addrs().unwrap().map(|addr| addr.ip()).collect();
                prop_assert_eq!(theirs, [ours]);
            }
            Err(AddressError::IpUnusable { addr: IpAddr::V4(addr), .. }) => {
                prop_assert!(addr.is_multicast() || addr.is_broadcast() || addr.octets()[0] == 0);
                prop_assert_ne!(addr, Ipv4Addr::UNSPECIFIED);
            }
            Err(AddressError::Ipv4Malformed(_)) => {}
            other => prop_assert!(false, "{:?}: {:?}", text, other),
        }
    }
}
