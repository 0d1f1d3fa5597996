//! The errors of the decoder.

use std::fmt;

use super::{MAX_V1_HEADER, MAX_V2_PAYLOAD};

/// Why a header is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// Version 1: the line has no end within 107 bytes.
    LineTooLong,
    /// Version 1: the line ends without a carriage return.
    BareLineFeed,
    /// Version 1: the line is not a family with two addresses and two ports.
    MalformedLine,
    /// Version 2: the byte is not version 2 with LOCAL or PROXY.
    VersionOrCommand(u8),
    /// Version 2: the family or protocol does not exist.
    Family(u8),
    /// Version 2: the length is above [`MAX_V2_PAYLOAD`].
    TooLong {
        /// The length in the header.
        length: usize,
    },
    /// Version 2: the length is too small for the addresses of the family.
    AddressesCutShort {
        /// The length in the header.
        length: usize,
    },
    /// Version 2: the last TLV is truncated.
    TlvCutShort,
    /// Version 2: the checksum is wrong.
    Checksum,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid PROXY header: ")?;
        match self {
            Self::LineTooLong => write!(f, "no line end within {MAX_V1_HEADER} bytes"),
            Self::BareLineFeed => f.write_str("line feed without carriage return"),
            Self::MalformedLine => f.write_str("malformed line"),
            Self::VersionOrCommand(byte) => write!(f, "unknown version or command {byte:#04x}"),
            Self::Family(byte) => write!(f, "unknown address family or protocol {byte:#04x}"),
            Self::TooLong { length } => write!(f, "{length} bytes exceed the limit of {MAX_V2_PAYLOAD}"),
            Self::AddressesCutShort { length } => {
                write!(f, "{length} bytes are too few for the addresses")
            }
            Self::TlvCutShort => f.write_str("truncated TLV"),
            Self::Checksum => f.write_str("wrong checksum (CRC-32C)"),
        }
    }
}

impl std::error::Error for DecodeError {}
