//! The decoder of PROXY headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::checksum;
use super::error::DecodeError;
use super::tlv::CRC32C;
use super::{Addresses, MAX_V1_HEADER, MAX_V2_PAYLOAD, Tlv, UNIX_NAME_LEN, V1_START, V2_SIGNATURE, Version};

/// The meaning of the first bytes of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// The bytes may be the beginning of a header.
    NeedMore,
    /// The bytes are not a header.
    NotProxy,
    /// The bytes begin with a complete header.
    Header {
        /// The version of the header.
        version: Version,
        /// The two ends of the connection.
        addresses: Addresses,
        /// The TLVs of a version 2 header, without the checksum, which is verified if the header has addresses.
        tlvs: Vec<Tlv>,
        /// The length of the header. The bytes after it are from the client.
        consumed: usize,
    },
    /// The bytes begin as a header, but are not valid. The connection must be closed.
    Invalid(DecodeError),
}

/// Decodes `bytes`, which are everything received so far. Every result but [`Decoded::NeedMore`] is final: more bytes
/// do not change it. 4112 bytes or more never give `NeedMore`.
pub fn decode(bytes: &[u8]) -> Decoded {
    let decoded = if could_start(bytes, V2_SIGNATURE) {
        decode_v2(bytes)
    } else if could_start(bytes, V1_START) {
        decode_v1(bytes)
    } else {
        return Decoded::NotProxy;
    };
    match decoded {
        Ok(Some(header)) => header,
        Ok(None) => Decoded::NeedMore,
        Err(error) => Decoded::Invalid(error),
    }
}

/// Whether `bytes` begin with `start`, as far as they go.
fn could_start(bytes: &[u8], start: &[u8]) -> bool {
    bytes.starts_with(start) || start.starts_with(bytes)
}

/// `Ok(None)`: more bytes are needed.
type Progress = Result<Option<Decoded>, DecodeError>;

fn decode_v1(bytes: &[u8]) -> Progress {
    let window = bytes.get(..MAX_V1_HEADER).unwrap_or(bytes);
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return if window.len() == MAX_V1_HEADER { Err(DecodeError::LineTooLong) } else { Ok(None) };
    };
    let line =
        window.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(DecodeError::BareLineFeed)?;
    let fields = line.strip_prefix(V1_START).ok_or(DecodeError::MalformedLine)?;
    let addresses = v1_addresses(fields)?;
    Ok(Some(Decoded::Header { version: Version::V1, addresses, tlvs: Vec::new(), consumed: end + 1 }))
}

fn v1_addresses(fields: &[u8]) -> Result<Addresses, DecodeError> {
    let mut fields = fields.split(|byte| *byte == b' ');
    let family = fields.next().unwrap_or_default();
    // The specification says to ignore everything after UNKNOWN.
    if family == b"UNKNOWN" {
        return Ok(Addresses::Unknown);
    }
    let fields: Vec<_> = fields.map(|field| std::str::from_utf8(field).unwrap_or_default()).collect();
    let [src, dst, src_port, dst_port] = fields[..] else {
        return Err(DecodeError::MalformedLine);
    };
    let (src, dst) = match family {
        b"TCP4" => (v1_ip::<Ipv4Addr>(src)?, v1_ip::<Ipv4Addr>(dst)?),
        b"TCP6" => (v1_ip::<Ipv6Addr>(src)?, v1_ip::<Ipv6Addr>(dst)?),
        _ => return Err(DecodeError::MalformedLine),
    };
    Ok(Addresses::Inet {
        src: SocketAddr::new(src, v1_port(src_port)?),
        dst: SocketAddr::new(dst, v1_port(dst_port)?),
    })
}

fn v1_ip<T: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, DecodeError> {
    text.parse::<T>().map(Into::into).map_err(|_| DecodeError::MalformedLine)
}

/// Parses digits without a leading zero.
fn v1_port(text: &str) -> Result<u16, DecodeError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(DecodeError::MalformedLine);
    }
    text.parse().map_err(|_| DecodeError::MalformedLine)
}

/// Checks each byte in order as soon as it arrives, so that the result is final.
fn decode_v2(bytes: &[u8]) -> Progress {
    let mut reader = Reader(bytes.get(V2_SIGNATURE.len()..).unwrap_or_default());
    let Some(version_and_command) = reader.byte() else { return Ok(None) };
    let local = match version_and_command {
        0x20 => true,
        0x21 => false,
        other => return Err(DecodeError::VersionOrCommand(other)),
    };
    let Some(family_and_protocol) = reader.byte() else { return Ok(None) };
    let family = match Family::new(family_and_protocol) {
        Err(_) if local => Family::Unspecified,
        family => family?,
    };
    let Some(length) = reader.u16() else { return Ok(None) };
    let length = usize::from(length);
    if length > MAX_V2_PAYLOAD {
        return Err(DecodeError::TooLong { length });
    }
    if !local && length < family.address_len() {
        return Err(DecodeError::AddressesCutShort { length });
    }
    let Some(payload) = reader.take(length) else { return Ok(None) };

    let consumed = V2_SIGNATURE.len() + 4 + length;
    let header = bytes.get(..consumed).unwrap_or(bytes);
    let mut payload = Reader(payload);
    let block = payload.take(family.address_len());
    let addresses = block.filter(|_| !local).map_or(Addresses::Unknown, |block| family.addresses(block));
    let mut tlvs = match block.and_then(|_| payload.tlvs()) {
        // In a header without addresses the payload may be anything.
        None if addresses == Addresses::Unknown => Vec::new(),
        found => found.ok_or(DecodeError::TlvCutShort)?,
    };
    if addresses != Addresses::Unknown {
        checksum::verify(header, &tlvs)?;
    }
    tlvs.retain(|tlv| tlv.kind != CRC32C);
    Ok(Some(Decoded::Header { version: Version::V2, addresses, tlvs, consumed }))
}

/// The address family of a version 2 header. The addresses of datagram connections are skipped, because they cannot be
/// right for a stream.
#[derive(Clone, Copy)]
enum Family {
    Unspecified,
    Inet { stream: bool },
    Inet6 { stream: bool },
    Unix { stream: bool },
}

impl Family {
    fn new(family_and_protocol: u8) -> Result<Self, DecodeError> {
        let stream = family_and_protocol & 0x0f == 1;
        match family_and_protocol {
            0x00..=0x02 => Ok(Self::Unspecified),
            0x10..=0x12 => Ok(Self::Inet { stream }),
            0x20..=0x22 => Ok(Self::Inet6 { stream }),
            0x30..=0x32 => Ok(Self::Unix { stream }),
            other => Err(DecodeError::Family(other)),
        }
    }

    fn address_len(self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::Inet { .. } => 2 * (4 + 2),
            Self::Inet6 { .. } => 2 * (16 + 2),
            Self::Unix { .. } => 2 * UNIX_NAME_LEN,
        }
    }

    /// Decodes the addresses in `block`, whose length is [`Self::address_len`].
    fn addresses(self, block: &[u8]) -> Addresses {
        let mut block = Reader(block);
        let inet = match self {
            Self::Inet { stream: true } => block.inet::<4>(),
            Self::Inet6 { stream: true } => block.inet::<16>(),
            Self::Unix { stream: true } => return block.unix().unwrap_or(Addresses::Unknown),
            _ => None,
        };
        inet.map_or(Addresses::Unknown, |(src, dst)| Addresses::Inet { src, dst })
    }
}

/// Reads bytes from the front. The methods return `None` if there are too few.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn inet<const N: usize>(&mut self) -> Option<(SocketAddr, SocketAddr)>
    where
        IpAddr: From<[u8; N]>,
    {
        let (src, dst) = (IpAddr::from(self.array()?), IpAddr::from(self.array()?));
        Some((SocketAddr::new(src, self.u16()?), SocketAddr::new(dst, self.u16()?)))
    }

    fn unix(&mut self) -> Option<Addresses> {
        let mut name = || self.take(UNIX_NAME_LEN).map(unix_name);
        Some(Addresses::Unix { src: name()?, dst: name()? })
    }

    /// Reads the rest as TLVs. Returns `None` if the last one is truncated.
    fn tlvs(&mut self) -> Option<Vec<Tlv>> {
        let mut tlvs = Vec::new();
        while let Some(kind) = self.byte() {
            let length = usize::from(self.u16()?);
            tlvs.push(Tlv { kind, value: self.take(length)?.to_vec() });
        }
        Some(tlvs)
    }
}

/// Removes the padding: a path ends at the first zero byte, an abstract name before the trailing zero bytes.
fn unix_name(field: &[u8]) -> Vec<u8> {
    let end = match field {
        [0, ..] => field.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1),
        path => path.iter().position(|byte| *byte == 0).unwrap_or(path.len()),
    };
    field.get(..end).unwrap_or(field).to_vec()
}
