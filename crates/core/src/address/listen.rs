//! Addresses to listen on.

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use super::host::check_usable;
use super::{AbstractName, AddressError, UnixPath, unix::is_socket_name, vsock};

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// A TCP address. `[::]` includes IPv4; port 0 lets the kernel choose a port.
    Tcp(SocketAddr),
    /// A UNIX socket in the file system.
    Unix(UnixPath),
    /// A UNIX socket in the abstract namespace.
    Abstract(AbstractName),
    /// A vsock port.
    Vsock {
        /// The context id. `None`: all context ids of this machine.
        cid: Option<u32>,
        /// The port.
        port: u32,
    },
}

impl ListenAddress {
    /// Parses `HOST:PORT`, `*:PORT`, `:PORT`, `[V6]:PORT`, `/path`, `@name` or `vsock:[CID]:PORT`. TCP addresses may
    /// begin with `tcp:`, paths and abstract names with `unix:`. The host is an IP address or `localhost`, which is
    /// `127.0.0.1`. An empty host and `*` mean all addresses (`[::]`).
    ///
    /// # Errors
    /// An [`AddressError`] if the address is not valid. The message does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(rest) = text.strip_prefix("unix:") {
            return parse_unix(rest).unwrap_or(Err(AddressError::RelativePath { path: rest.to_owned() }));
        }
        if let Some(address) = text.strip_prefix("tcp://") {
            return Err(AddressError::UnsupportedPrefix {
                address: address.trim_end_matches('/').to_owned(),
            });
        }
        if text.contains("://") && !text.starts_with(['/', '@']) {
            return Err(AddressError::Url);
        }
        if let Some(rest) = text.strip_prefix("tcp:") {
            return parse_tcp(rest).map(Self::Tcp);
        }
        if let Some(rest) = text.strip_prefix("vsock:") {
            let (cid, port) = vsock::parse(rest)?;
            return Ok(Self::Vsock { cid, port });
        }
        parse_unix(text).unwrap_or_else(|| parse_tcp(text).map(Self::Tcp))
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl fmt::Display for ListenAddress {
    /// Prints the address so that it can be parsed again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => path.fmt(f),
            Self::Abstract(name) => name.fmt(f),
            Self::Vsock { cid: Some(cid), port } => write!(f, "vsock:{cid}:{port}"),
            Self::Vsock { cid: None, port } => write!(f, "vsock::{port}"),
        }
    }
}

/// Returns `None` if the text is not in the form of a UNIX socket.
fn parse_unix(text: &str) -> Option<Result<ListenAddress, AddressError>> {
    if text.starts_with('/') {
        return Some(UnixPath::parse(OsStr::new(text)).map(ListenAddress::Unix));
    }
    let name = text.strip_prefix('@')?;
    Some(AbstractName::parse(name.as_bytes()).map(ListenAddress::Abstract))
}

fn parse_tcp(text: &str) -> Result<SocketAddr, AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if text.contains('/') || is_socket_name(text) {
        return Err(AddressError::RelativePath { path: text.to_owned() });
    }
    let (host, port) = split(text)?;
    let port = parse_port(port)?;
    if let Some(v6) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return parse_v6(v6, port);
    }
    let ip = match host {
        "" | "*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        v6 if v6.contains(':') => return parse_v6(v6, port),
        v4 => check_usable(IpAddr::V4(v4.parse().map_err(|_| AddressError::ListenHost(v4.to_owned()))?))?,
    };
    Ok(SocketAddr::new(ip, port))
}

/// Splits at the last colon outside of brackets.
fn split(text: &str) -> Result<(&str, &str), AddressError> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AddressError::ListenPortOnly { port: text.to_owned() });
    }
    if text.starts_with('[') {
        let end = text.find(']').ok_or(AddressError::BracketUnclosed)?;
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, port)),
            None if rest.is_empty() => Err(AddressError::PortMissing),
            None => Err(AddressError::BracketTrailing(rest.to_owned())),
        };
    }
    let (host, port) = text.rsplit_once(':').ok_or(AddressError::PortMissing)?;
    if host.contains(':') && host.parse::<Ipv6Addr>().is_err() && text.parse::<Ipv6Addr>().is_ok() {
        return Err(AddressError::Ipv6WithoutPort { addr: text.to_owned() });
    }
    Ok((host, port))
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    if text.is_empty() {
        return Err(AddressError::PortMissing);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AddressError::ListenPortName(text.to_owned()));
    }
    text.parse().map_err(|_| AddressError::PortOutOfRange(text.to_owned()))
}

/// The zone must be a number, because a parser cannot look up the name of an interface.
fn parse_v6(text: &str, port: u16) -> Result<SocketAddr, AddressError> {
    let (addr, zone) = match text.split_once('%') {
        Some((addr, zone)) => (addr, Some(zone)),
        None => (text, None),
    };
    let addr: Ipv6Addr = addr.parse().map_err(|_| AddressError::Ipv6Malformed(text.to_owned()))?;
    check_usable(IpAddr::V6(addr))?;
    let scope_id = match zone {
        None if addr.is_unicast_link_local() => return Err(AddressError::ZoneMissing(addr)),
        None => 0,
        Some(zone) if zone.bytes().all(|byte| byte.is_ascii_digit()) => {
            zone.parse().map_err(|_| AddressError::ZoneInvalid(zone.to_owned()))?
        }
        Some(zone) => return Err(AddressError::ListenZoneName(zone.to_owned())),
    };
    Ok(SocketAddrV6::new(addr, port, 0, scope_id).into())
}
