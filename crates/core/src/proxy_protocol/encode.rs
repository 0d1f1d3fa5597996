//! The encoder of PROXY headers.

use std::fmt;
use std::net::SocketAddr;

use super::{Addresses, MAX_V2_PAYLOAD, Tlv, UNIX_NAME_LEN, V2_SIGNATURE, Version};

/// Appends a header to `out`.
///
/// Addresses that a version cannot express are sent as unknown (`PROXY UNKNOWN`, or a `LOCAL` header): UNIX names in
/// version 1, IP addresses of different families, UNIX names longer than 108 bytes.
pub fn encode(version: Version, addresses: &Addresses, out: &mut Vec<u8>) {
    match version {
        Version::V1 => encode_v1(addresses, out),
        Version::V2 => {
            let block = AddressBlock::new(addresses);
            write_v2(&block, block.bytes.len(), out);
        }
    }
}

/// Appends a version 2 header with TLVs to `out`. Appends nothing after an error.
///
/// # Errors
/// [`EncodeError::TooLong`] if addresses and TLVs together are longer than [`MAX_V2_PAYLOAD`].
pub fn encode_v2(addresses: &Addresses, tlvs: &[Tlv], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let block = AddressBlock::new(addresses);
    let tlv_len: usize = tlvs.iter().map(|tlv| 3 + tlv.value.len()).sum();
    let length = block.bytes.len() + tlv_len;
    if length > MAX_V2_PAYLOAD {
        return Err(EncodeError::TooLong { length });
    }
    write_v2(&block, length, out);
    for tlv in tlvs {
        out.push(tlv.kind);
        push_u16(out, tlv.value.len());
        out.extend_from_slice(&tlv.value);
    }
    Ok(())
}

fn encode_v1(addresses: &Addresses, out: &mut Vec<u8>) {
    let line = match addresses {
        Addresses::Inet { src: SocketAddr::V4(src), dst: SocketAddr::V4(dst) } => {
            format!("PROXY TCP4 {} {} {} {}\r\n", src.ip(), dst.ip(), src.port(), dst.port())
        }
        Addresses::Inet { src: SocketAddr::V6(src), dst: SocketAddr::V6(dst) } => {
            format!("PROXY TCP6 {} {} {} {}\r\n", src.ip(), dst.ip(), src.port(), dst.port())
        }
        _ => "PROXY UNKNOWN\r\n".to_owned(),
    };
    out.extend_from_slice(line.as_bytes());
}

/// The addresses of a version 2 header, with the two bytes that give their type.
struct AddressBlock {
    version_and_command: u8,
    family_and_protocol: u8,
    bytes: Vec<u8>,
}

impl AddressBlock {
    fn new(addresses: &Addresses) -> Self {
        let (version_and_command, family_and_protocol, bytes) = match addresses {
            Addresses::Inet { src: SocketAddr::V4(src), dst: SocketAddr::V4(dst) } => {
                (0x21, 0x11, inet_block(&src.ip().octets(), &dst.ip().octets(), src.port(), dst.port()))
            }
            Addresses::Inet { src: SocketAddr::V6(src), dst: SocketAddr::V6(dst) } => {
                (0x21, 0x21, inet_block(&src.ip().octets(), &dst.ip().octets(), src.port(), dst.port()))
            }
            Addresses::Unix { src, dst } if src.len().max(dst.len()) <= UNIX_NAME_LEN => {
                let mut bytes = src.clone();
                bytes.resize(UNIX_NAME_LEN, 0);
                bytes.extend_from_slice(dst);
                bytes.resize(2 * UNIX_NAME_LEN, 0);
                (0x21, 0x31, bytes)
            }
            _ => (0x20, 0x00, Vec::new()),
        };
        Self { version_and_command, family_and_protocol, bytes }
    }
}

fn inet_block(src: &[u8], dst: &[u8], src_port: u16, dst_port: u16) -> Vec<u8> {
    [src, dst, &src_port.to_be_bytes(), &dst_port.to_be_bytes()].concat()
}

/// Writes everything but the TLVs. `length` includes them.
fn write_v2(block: &AddressBlock, length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(V2_SIGNATURE);
    out.extend_from_slice(&[block.version_and_command, block.family_and_protocol]);
    push_u16(out, length);
    out.extend_from_slice(&block.bytes);
}

/// The callers ensure that the length is at most [`MAX_V2_PAYLOAD`].
fn push_u16(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
}

/// Why a header cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeError {
    /// The addresses and TLVs are longer than [`MAX_V2_PAYLOAD`].
    TooLong {
        /// The length in bytes.
        length: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length } => {
                write!(f, "PROXY header of {length} bytes is longer than {MAX_V2_PAYLOAD}")
            }
        }
    }
}

impl std::error::Error for EncodeError {}
