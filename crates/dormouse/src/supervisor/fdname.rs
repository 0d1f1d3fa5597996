//! The names by which descriptors come back from the service manager's store. They hold no ':' and nothing that is not
//! printable ASCII, and are no longer than the manager takes.

use std::fmt::Write as _;

use dormouse_config::listen_options::{FileOptions, ListenOptions};
use dormouse_config::model::Listen;

/// What we had woken.
pub(super) const STATE: &str = "dormouse-state";
const LISTEN: &str = "dormouse-listen";
/// Between the parts of a name.
const SEPARATOR: char = '+';
/// `FDNAME_MAX` of systemd.
const LONGEST: usize = 255;

/// Which listener it is, whichever configuration it stands in. What is set once is part of it; who may use its file can
/// be told anew.
pub(super) fn key(service: &str, listen: &Listen) -> Option<String> {
    let Listen::Open { address, options } = listen else { return None };
    let set_once = ListenOptions { file: FileOptions::default(), ..options.clone() };
    let address = encode(&format!("{address}{set_once}"));
    // Of two that ask for any port each has its own.
    let owner = if listen.is_any_port() { encode(service) } else { String::new() };
    Some(format!("{LISTEN}{SEPARATOR}{address}{SEPARATOR}{owner}"))
}

/// The name of a listener with this key; `identity`: of its file. `None` if it would be too long.
pub(super) fn with_identity(key: &str, identity: Option<(u64, u64)>) -> Option<String> {
    let (device, inode) = identity.unwrap_or_default();
    Some(format!("{key}{SEPARATOR}{device}{SEPARATOR}{inode}")).filter(|name| name.len() <= LONGEST)
}

/// The key and the file's identity that are in a name, if it is one of ours.
pub(super) fn parse(name: &str) -> Option<(&str, Option<(u64, u64)>)> {
    let rest = name.strip_prefix(LISTEN)?;
    let (rest, inode) = rest.rsplit_once(SEPARATOR)?;
    let (rest, device) = rest.rsplit_once(SEPARATOR)?;
    let identity = (device.parse().ok()?, inode.parse().ok()?);
    let key = name.get(..LISTEN.len() + rest.len())?;
    Some((key, Some(identity).filter(|identity| *identity != (0, 0))))
}

/// A text without what separates.
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

/// The text again.
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
    fn names_are_what_the_manager_takes_and_come_back() {
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
    fn only_ports_that_the_kernel_chooses_belong_to_a_service() {
        assert_eq!(key("a", &open("127.0.0.1:80")), key("b", &open("127.0.0.1:80")));
        assert_ne!(key("a", &open("127.0.0.1:0")), key("b", &open("127.0.0.1:0")));
        assert_eq!(key("a", &Listen::Inherited("x".to_owned())), None);
    }

    #[test]
    fn what_is_set_once_makes_it_another_listener() {
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
    fn a_name_that_is_too_long_is_none() {
        let key = key("web", &open(&format!("/{}", "ä".repeat(50)))).unwrap();
        assert_eq!(with_identity(&key, None), None);
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(text: String) {
            let encoded = encode(&text);
            prop_assert!(encoded.is_ascii() && !encoded.contains([' ', ':', '+', '\n']));
            prop_assert_eq!(decode(&encoded), Some(text));
        }

        #[test]
        fn no_name_makes_it_panic(name in "(dormouse-listen)?[+%0-9a-f/]{0,20}") {
            let _ = (parse(&name), decode(&name));
        }
    }
}
