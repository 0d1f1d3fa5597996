//! Hosts of TCP targets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{AddressError, IpProblem, Port};
use crate::number::parse_c_unsigned;

/// The host of a TCP target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A literal address.
    Ip(IpAddr),
    /// A literal address with its interface.
    Scoped {
        /// The address, usually a link-local one.
        addr: Ipv6Addr,
        /// The name or number of the interface.
        zone: String,
    },
    /// `*`: this machine, at `::1` and then at `127.0.0.1`.
    Loopback,
    /// A name for the resolver.
    Name(HostName),
}

impl Host {
    /// Parses `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`.
    ///
    /// # Errors
    /// An [`AddressError`] if the host or the port is not valid. The message does not repeat the text.
    pub fn parse_with_port(text: &str) -> Result<(Self, Option<Port>), AddressError> {
        parse_host_and_port(text)
    }

    /// Parses a host without brackets.
    pub(super) fn parse(text: &str) -> Result<Self, AddressError> {
        if text == "*" {
            return Ok(Self::Loopback);
        }
        if text.contains(':') {
            return Self::parse_v6(text);
        }
        if let Some(addr) = parse_inet_aton(text) {
            return check_usable(IpAddr::V4(addr)).map(Self::Ip);
        }
        HostName::parse(text).map(Self::Name)
    }

    /// Parses an IPv6 address with or without a zone, as between brackets.
    pub(super) fn parse_v6(text: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::Ipv6Malformed(text.to_owned());
        let Some((addr, zone)) = text.split_once('%') else {
            let addr: Ipv6Addr = text.parse().map_err(|_| malformed())?;
            if addr.is_unicast_link_local() {
                return Err(AddressError::ZoneMissing(addr));
            }
            return check_usable(IpAddr::V6(addr)).map(Self::Ip);
        };
        let addr: Ipv6Addr = addr.parse().map_err(|_| malformed())?;
        if !is_interface(zone) {
            return Err(AddressError::ZoneInvalid(zone.to_owned()));
        }
        check_usable(IpAddr::V6(addr))?;
        Ok(Self::Scoped { addr, zone: zone.to_owned() })
    }
}

/// Splits `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`. Without brackets the last colon counts.
pub(super) fn parse_host_and_port(text: &str) -> Result<(Host, Option<Port>), AddressError> {
    if let Some(inner) = text.strip_prefix('[') {
        let (address, rest) = inner.split_once(']').ok_or(AddressError::BracketUnclosed)?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(Port::parse(port)?),
            None if rest.is_empty() => None,
            None => return Err(AddressError::BracketTrailing(rest.to_owned())),
        };
        return Ok((Host::parse_v6(address)?, port));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return match Host::parse(text) {
            Err(AddressError::IpUnusable { .. }) if text.parse::<u16>().is_ok() => {
                Err(AddressError::PortWithoutHost { number: text.to_owned() })
            }
            host => Ok((host?, None)),
        };
    };
    match Host::parse(host) {
        // `::1` was split into `:` and `1`.
        Err(AddressError::Ipv6Malformed(_)) if is_bare_v6(text) => {
            Err(AddressError::Ipv6WithoutPort { addr: text.to_owned() })
        }
        Err(AddressError::HostMissing) => Err(AddressError::HostMissingBeforePort { port: port.to_owned() }),
        host => Ok((host?, Some(Port::parse(port)?))),
    }
}

fn is_bare_v6(text: &str) -> bool {
    text.split('%').next().is_some_and(|addr| addr.parse::<Ipv6Addr>().is_ok())
}

impl fmt::Display for Host {
    /// Prints the host as before a port: IPv6 addresses in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(addr)) => addr.fmt(f),
            Self::Ip(IpAddr::V6(addr)) => write!(f, "[{addr}]"),
            Self::Scoped { addr, zone } => write!(f, "[{addr}%{zone}]"),
            Self::Loopback => f.write_str("*"),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Rejects addresses that TCP can neither connect to nor bind to.
pub(super) fn check_usable(addr: IpAddr) -> Result<IpAddr, AddressError> {
    let problem = if addr.to_canonical().is_multicast() {
        IpProblem::Multicast
    } else {
        match addr.to_canonical() {
            IpAddr::V4(v4) if v4.is_broadcast() => IpProblem::Broadcast,
            IpAddr::V4(v4) if v4.octets()[0] == 0 && !v4.is_unspecified() => IpProblem::ThisNetwork,
            _ => return Ok(addr),
        }
    };
    Err(AddressError::IpUnusable { addr, problem })
}

/// Parses an IPv4 address in all forms of `inet_aton()`: one to four parts, each decimal, octal or hexadecimal. The
/// last part fills the remaining bytes.
fn parse_inet_aton(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text.split('.');
    let last = inet_aton_part(parts.next_back()?)?;
    let mut high: u64 = 0;
    let mut free_bits = 32;
    for part in parts {
        let part = inet_aton_part(part).filter(|part| *part <= 0xff)?;
        free_bits = u32::checked_sub(free_bits, 8).filter(|left| *left > 0)?;
        high |= part << free_bits;
    }
    let last_fits = last < 1 << free_bits;
    last_fits.then_some(high | last).and_then(|bits| u32::try_from(bits).ok()).map(Ipv4Addr::from)
}

fn inet_aton_part(text: &str) -> Option<u64> {
    parse_c_unsigned(text).ok()
}

/// Whether the text can be the name or number of an interface. The kernel allows brackets in a name, but they would be
/// ambiguous here.
fn is_interface(zone: &str) -> bool {
    let forbidden = |byte: u8| b"/:%[]".contains(&byte) || !byte.is_ascii_graphic();
    (1..=15).contains(&zone.len()) && zone != "." && zone != ".." && !zone.bytes().any(forbidden)
}

/// A valid host name: at most 253 bytes, labels of letters, digits, `-` and `_`. The host may not exist.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName(String);

impl HostName {
    fn parse(text: &str) -> Result<Self, AddressError> {
        let invalid = || AddressError::HostNameInvalid(text.to_owned());
        if text.is_empty() {
            return Err(AddressError::HostMissing);
        }
        if !text.is_ascii() {
            return Err(AddressError::HostNameNotAscii(text.to_owned()));
        }
        let relative = text.strip_suffix('.').unwrap_or(text);
        if relative.len() > 253 || !relative.split('.').all(is_label) {
            return Err(invalid());
        }
        if relative.split('.').all(looks_numeric) {
            return Err(AddressError::Ipv4Malformed(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name, with its dot at the end if it has one.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len()) && !label.starts_with('-') && label.bytes().all(allowed)
}

fn looks_numeric(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit()) || inet_aton_part(label).is_some()
}
