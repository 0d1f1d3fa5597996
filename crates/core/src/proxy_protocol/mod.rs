//! The PROXY protocol: who is at the two ends of a connection, told in front of its bytes.
//!
//! Both versions are written and read. Reading is incremental: [`decode()`] is given what has arrived so far
//! and says whether that is a header, is not one, or may still become one.

mod checksum;
mod decode;
mod encode;

use std::fmt;
use std::net::SocketAddr;

pub use decode::{DecodeError, Decoded, decode};
pub use encode::{EncodeError, encode, encode_v2};

/// Version 1 is a line of text, version 2 is binary and can carry more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// `PROXY TCP4 …\r\n`
    V1,
    /// A binary header with a signature of 12 bytes.
    V2,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

/// The two ends of a client's connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Addresses {
    /// A connection over IP. Both addresses are of one family; where they are not, the header says "unknown".
    Inet {
        /// The client's address.
        src: SocketAddr,
        /// The address that the client connected to.
        dst: SocketAddr,
    },
    /// A connection over a UNIX socket, which only version 2 can tell. The names are those of `sun_path`, without
    /// trailing zeros: a path, or a zero byte and an abstract name, or nothing for an unnamed socket.
    Unix {
        /// The client's name, at most 108 bytes. Most clients have none.
        src: Vec<u8>,
        /// The name that the client connected to, at most 108 bytes.
        dst: Vec<u8>,
    },
    /// Not known, or of a family that the protocol has no form for.
    Unknown,
}

/// A typed piece of information behind the addresses of a version 2 header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tlv {
    /// What the value means (`PP2_TYPE_…` of the specification).
    pub kind: u8,
    /// The value, at most 65535 bytes, and as a part of a header at most [`MAX_V2_PAYLOAD`].
    pub value: Vec<u8>,
}

/// The longest version 1 header, with its line end.
pub const MAX_V1_HEADER: usize = 107;

/// The longest addresses and TLVs of a version 2 header that are written and read, in bytes. The protocol would
/// allow 65535, but nobody needs them and a header has to be held in memory until it is complete.
pub const MAX_V2_PAYLOAD: usize = 4096;

const V1_START: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const UNIX_NAME_LEN: usize = 108;
