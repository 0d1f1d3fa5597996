//! The PROXY protocol: a header before the bytes of a connection with the addresses of its two ends.
//!
//! This module encodes and decodes both versions. [`decode()`] is incremental: it takes the bytes received so far, and
//! returns whether they are a header, are not a header, or may become one.

mod checksum;
mod decode;
mod encode;
mod error;
pub mod tlv;

use std::fmt;
use std::net::SocketAddr;

pub use decode::{Decoded, decode};
pub use encode::{EncodeError, encode, encode_v2};
pub use error::DecodeError;

/// The version of a header. Version 1 is a line of text, version 2 is binary and has more fields.
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
    /// A connection over IP. Addresses of two different families are encoded as unknown.
    Inet {
        /// The address of the client.
        src: SocketAddr,
        /// The address that the client connected to.
        dst: SocketAddr,
    },
    /// A connection over a UNIX socket, only in version 2. The names are those of `sun_path` without trailing zeros: a
    /// path, a zero byte and an abstract name, or nothing for an unnamed socket.
    Unix {
        /// The name of the client socket, at most 108 bytes. Most clients have none.
        src: Vec<u8>,
        /// The name that the client connected to, at most 108 bytes.
        dst: Vec<u8>,
    },
    /// The addresses are not known, or the protocol has no form for them.
    Unknown,
}

/// A typed field after the addresses of a version 2 header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tlv {
    /// The type (`PP2_TYPE_…` of the specification).
    pub kind: u8,
    /// The value, at most 65535 bytes. All TLVs of a header together are limited to [`MAX_V2_PAYLOAD`].
    pub value: Vec<u8>,
}

/// The longest version 1 header with its line end, in bytes.
pub const MAX_V1_HEADER: usize = 107;

/// The longest addresses and TLVs of a version 2 header, in bytes. The protocol allows 65535, but the decoder keeps a
/// header in memory until it is complete, and no known sender needs more than this.
pub const MAX_V2_PAYLOAD: usize = 4096;

const V1_START: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const UNIX_NAME_LEN: usize = 108;
