//! Headers read.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::checksum;
use super::{Addresses, MAX_V1_HEADER, MAX_V2_PAYLOAD, Tlv, UNIX_NAME_LEN, V1_START, V2_SIGNATURE, Version};

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// They may become a header when more of them have arrived.
    NeedMore,
    /// They are not a header, and will not be one.
    NotProxy,
    /// They begin with a complete header.
    Header {
        /// The version that it was written in.
        version: Version,
        /// Who is connected to whom.
        addresses: Addresses,
        /// What else a version 2 header says. Its checksum is not among them; it is verified where addresses are told.
        tlvs: Vec<Tlv>,
        /// The header's length; what follows is the client's.
        consumed: usize,
    },
    /// They begin as a header, but break its rules: the connection has to be closed.
    Invalid(DecodeError),
}

/// Decodes `bytes`, all that has arrived so far. Any answer but [`Decoded::NeedMore`] is final: more bytes do not change
/// it. 4112 bytes or more never give `NeedMore`.
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

/// Whether `bytes` begin with `start`, or are too short to tell.
fn could_start(bytes: &[u8], start: &[u8]) -> bool {
    bytes.starts_with(start) || start.starts_with(bytes)
}

/// `Ok(None)` if more bytes are needed.
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
    // Whatever follows UNKNOWN is to be ignored.
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

/// Digits only, no leading zero.
fn v1_port(text: &str) -> Result<u16, DecodeError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(DecodeError::MalformedLine);
    }
    text.parse().map_err(|_| DecodeError::MalformedLine)
}

/// Each byte is checked as soon as it is there and in its order, which makes the answer final.
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
        // A sender that does not say who is connected may fill the payload with anything.
        None if addresses == Addresses::Unknown => Vec::new(),
        found => found.ok_or(DecodeError::TlvCutShort)?,
    };
    if addresses != Addresses::Unknown {
        checksum::verify(header, &tlvs)?;
    }
    tlvs.retain(|tlv| tlv.kind != checksum::KIND);
    Ok(Some(Decoded::Header { version: Version::V2, addresses, tlvs, consumed }))
}

/// What version 2 says of a connection's kind. Addresses that are not a stream's are skipped, not read: here they
/// cannot be right.
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

    /// The addresses in `block`, whose length is [`Self::address_len`].
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

/// Bytes taken from the front; `None` if there are too few.
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

    /// All that is left, as TLVs; `None` if the last one is cut short.
    fn tlvs(&mut self) -> Option<Vec<Tlv>> {
        let mut tlvs = Vec::new();
        while let Some(kind) = self.byte() {
            let length = usize::from(self.u16()?);
            tlvs.push(Tlv { kind, value: self.take(length)?.to_vec() });
        }
        Some(tlvs)
    }
}

/// A path ends at the first zero byte, an abstract name where only zero bytes follow.
fn unix_name(field: &[u8]) -> Vec<u8> {
    let end = match field {
        [0, ..] => field.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1),
        path => path.iter().position(|byte| *byte == 0).unwrap_or(path.len()),
    };
    field.get(..end).unwrap_or(field).to_vec()
}

/// How the bytes of a header break the protocol's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// Version 1: no line end within 107 bytes.
    LineTooLong,
    /// Version 1: a line feed without a carriage return before it.
    BareLineFeed,
    /// Version 1: the line is not a family, two addresses of it and two ports.
    MalformedLine,
    /// Version 2: neither version 2 with LOCAL nor with PROXY.
    VersionOrCommand(u8),
    /// Version 2: a family or protocol that does not exist.
    Family(u8),
    /// Version 2: the length is above [`MAX_V2_PAYLOAD`].
    TooLong {
        /// The length that the header gives.
        length: usize,
    },
    /// Version 2: the length is too small for the family's addresses.
    AddressesCutShort {
        /// The length that the header gives.
        length: usize,
    },
    /// Version 2: the last TLV does not end where the header does.
    TlvCutShort,
    /// Version 2: the checksum is not the header's.
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
            Self::TooLong { length } => write!(f, "{length} bytes are more than {MAX_V2_PAYLOAD}"),
            Self::AddressesCutShort { length } => {
                write!(f, "{length} bytes are too few for the addresses")
            }
            Self::TlvCutShort => f.write_str("a TLV is cut short"),
            Self::Checksum => f.write_str("the checksum (CRC-32C) is wrong"),
        }
    }
}

impl std::error::Error for DecodeError {}
