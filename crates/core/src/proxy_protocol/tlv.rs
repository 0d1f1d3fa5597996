//! The types of TLVs, and which of them pass from an accepted header to the header for the server.

/// `PP2_TYPE_CRC32C`, a checksum of the header.
pub const CRC32C: u8 = 0x03;
/// `PP2_TYPE_UNIQUE_ID`, an identifier of the connection.
pub const UNIQUE_ID: u8 = 0x05;
/// The user of a local client, 4 bytes in network order. This and the next two are application-specific types
/// (`PP2_TYPE_MIN_CUSTOM` and following).
pub const UID: u8 = 0xe0;
/// The group of a local client, 4 bytes in network order.
pub const GID: u8 = 0xe1;
/// The process of a local client, 4 bytes in network order.
pub const PID: u8 = 0xe2;

/// A type of TLVs, or a range of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlvType {
    /// The first type.
    pub first: u8,
    /// The last type; the first one again if it is a single type.
    pub last: u8,
    /// What the type is, for the manual.
    pub name: &'static str,
    /// Whether TLVs of an accepted header pass.
    pub passage: Passage,
}

/// Whether the TLVs of a type pass from an accepted header to the header for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// They pass: the sender of the accepted header states them.
    Passes,
    /// They do not pass, for this reason.
    Stops(&'static str),
}

/// The reason why the sender of a header cannot write these types.
const VOUCHED: &str = "only dormouse states it";

/// The known types. A type that is not listed does not pass: what it means is not known, and it may concern a single hop.
///
/// dormouse vouches for the types that it writes itself, so that a server may trust them. They never pass, whether they
/// are enabled or not.
pub const TYPES: &[TlvType] = &[
    single(0x01, "protocol above TCP (ALPN)", Passage::Passes),
    single(0x02, "host name that the client asked for", Passage::Passes),
    single(
        CRC32C,
        "checksum",
        Passage::Stops("it belongs to the header that it is in, where it is verified"),
    ),
    single(0x04, "padding", Passage::Stops("it has no meaning")),
    single(UNIQUE_ID, "unique identifier", Passage::Stops(VOUCHED)),
    single(0x20, "TLS, with the certificate of the client", Passage::Passes),
    single(0x30, "network namespace", Passage::Stops("it names a namespace of the sender's machine")),
    single(UID, "user of a local client", Passage::Stops(VOUCHED)),
    single(GID, "group of a local client", Passage::Stops(VOUCHED)),
    single(PID, "process of a local client", Passage::Stops(VOUCHED)),
    TlvType { first: 0xe3, last: 0xef, name: "application-specific", passage: Passage::Passes },
    TlvType { first: 0xf0, last: 0xf7, name: "experimental", passage: Passage::Passes },
];

const fn single(kind: u8, name: &'static str, passage: Passage) -> TlvType {
    TlvType { first: kind, last: kind, name, passage }
}

/// Returns whether TLVs of this type pass from an accepted header to the header for the server.
pub fn passes(kind: u8) -> bool {
    let known = TYPES.iter().find(|known| (known.first..=known.last).contains(&kind));
    known.is_some_and(|known| known.passage == Passage::Passes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_listed_once_and_in_order() {
        for pair in TYPES.windows(2) {
            assert!(pair[0].first <= pair[0].last && pair[0].last < pair[1].first, "{pair:?}");
        }
    }

    #[test]
    fn only_statements_of_the_sender_pass() {
        let passing: Vec<u8> = (0..=u8::MAX).filter(|kind| passes(*kind)).collect();
        let expected: Vec<u8> = [0x01, 0x02, 0x20].into_iter().chain(0xe3..=0xf7).collect();
        assert_eq!(passing, expected);
    }
}
