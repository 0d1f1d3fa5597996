//! The names of descriptors in the service manager's store. A name contains printable ASCII without ':', and is at most
//! as long as the service manager allows. Names of earlier versions must stay readable.

use std::fmt::Write as _;

use dormouse_config::listen_options::{FileOptions, ListenOptions};
use dormouse_config::model::Listen;

/// The name of the wake state.
pub(super) const STATE: &str = "dormouse-state";
const LISTEN: &str = "dormouse-listen";
/// Separates the parts of a name.
const SEPARATOR: char = '+';
/// `FDNAME_MAX` of systemd.
const MAX_LENGTH: usize = 255;

/// Returns the part of a name that identifies a listener across configurations. It contains the options that cannot be
/// changed on an open socket, but not the permissions of its file.
pub(super) fn key(service: &str, listen: &Listen) -> Option<String> {
    let Listen::Open { address, options } = listen else { return None };
    let fixed = ListenOptions { file: FileOptions::default(), ..options.clone() };
    let address = encode(&format!("{address}{fixed}"));
    // Two listeners with port 0 have different ports, so the service distinguishes them.
    let owner = if listen.is_any_port() { encode(service) } else { String::new() };
    Some(format!("{LISTEN}{SEPARATOR}{address}{SEPARATOR}{owner}"))
}

/// Returns the name of a listener with this key and the identity (device, inode) of its socket file. Returns `None` if
/// the name would be too long.
pub(super) fn with_identity(key: &str, identity: Option<(u64, u64)>) -> Option<String> {
    let (device, inode) = identity.unwrap_or_default();
    Some(format!("{key}{SEPARATOR}{device}{SEPARATOR}{inode}")).filter(|name| name.len() <= MAX_LENGTH)
}

/// Returns the key and the file's identity from a name, or `None` if dormouse did not make the name.
pub(super) fn parse(name: &str) -> Option<(&str, Option<(u64, u64)>)> {
    let rest = name.strip_prefix(LISTEN)?;
    let (rest, inode) = rest.rsplit_once(SEPARATOR)?;
    let (rest, device) = rest.rsplit_once(SEPARATOR)?;
    let identity = (device.parse().ok()?, inode.parse().ok()?);
    let key = name.get(..LISTEN.len() + rest.len())?;
    Some((key, Some(identity).filter(|identity| *identity != (0, 0))))
}

/// Escapes separators, spaces and everything that is not printable ASCII.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._/@[]*".contains(&byte) {
            encoded.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02x}");
        }
    }
    encoded
}

/// Reverses `encode`.
pub(super) fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use dormouse_core::address::ListenAddress;
    use proptest::prelude::*;

    use super::*;

    fn open(address: &str) -> Listen {
        Listen::Open { address: ListenAddress::parse(address).unwrap(), options: ListenOptions::default() }
    }

    #[test]
    fn names_are_valid_and_are_parsed_back() {
        for address in
            ["127.0.0.1:80", "[::]:80", "/run/a b", "/run/ä", "@a:b", "vsock:3:1024", "127.0.0.1:0"]
        {
            let key = key("web", &open(address)).unwrap();
            for identity in [None, Some((1, 2))] {
                let name = with_identity(&key, identity).unwrap();
                assert!(name.bytes().all(|byte| (b' '..127).contains(&byte) && byte != b':'), "{name}");
                assert_eq!(parse(&name), Some((key.as_str(), identity)));
            }
        }
    }

    #[test]
    fn the_key_contains_the_service_only_for_port_0() {
        assert_eq!(key("a", &open("127.0.0.1:80")), key("b", &open("127.0.0.1:80")));
        assert_ne!(key("a", &open("127.0.0.1:0")), key("b", &open("127.0.0.1:0")));
        assert_eq!(key("a", &Listen::Inherited("x".to_owned())), None);
    }

    #[test]
    fn options_that_cannot_change_are_part_of_the_key() {
        let with = |options: ListenOptions| {
            key("a", &Listen::Open { address: ListenAddress::parse("/run/a").unwrap(), options })
        };
        let file = FileOptions { mode: Some(0o600), ..FileOptions::default() };
        let backlog = NonZeroU32::new(9);
        assert_eq!(with(ListenOptions { file, ..ListenOptions::default() }), key("a", &open("/run/a")));
        let other = with(ListenOptions { backlog, ..ListenOptions::default() }).unwrap();
        assert_ne!(Some(&other), key("a", &open("/run/a")).as_ref());
        assert_eq!(parse(&with_identity(&other, None).unwrap()), Some((other.as_str(), None)));
    }

    #[test]
    fn a_name_that_is_too_long_is_rejected() {
        let key = key("web", &open(&format!("/{}", "ä".repeat(50)))).unwrap();
        assert_eq!(with_identity(&key, None), None);
    }

    proptest! {
        #[test]
        fn decode_reverses_encode(text: String) {
            let encoded = encode(&text);
            prop_assert!(encoded.is_ascii() && !encoded.contains([' ', ':', '+', '\n']));
            prop_assert_eq!(decode(&encoded), Some(text));
        }

        #[test]
        fn parse_and_decode_never_panic(name in "(dormouse-listen)?[+%0-9a-f/]{0,20}") {
            let _ = (parse(&name), decode(&name));
        }
    }
}
