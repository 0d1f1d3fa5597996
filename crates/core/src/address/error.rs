//! Why an address is not valid, and what to write instead.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Why an address is not valid. The message names the wrong part, not the whole address: the caller adds the place of
/// the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressError {
    /// The text is empty.
    Empty,
    /// The name of a UNIX socket contains a NUL byte.
    ZeroByte,
    /// The path does not fit into a socket address.
    UnixPathTooLong {
        /// The length in bytes.
        length: usize,
    },
    /// The path ends with a slash.
    UnixPathIsDirectory,
    /// Nothing follows the `@`.
    AbstractNameEmpty,
    /// The abstract name does not fit into a socket address.
    AbstractNameTooLong {
        /// The length in bytes, without the `@`.
        length: usize,
    },
    /// The text looks like a path, but does not begin with a slash.
    RelativePath {
        /// The path.
        path: String,
    },
    /// The text is a URL.
    Url,
    /// A target begins with `tcp:` or `unix:`, or an address begins with `tcp://`.
    UnsupportedPrefix {
        /// The address without the prefix.
        address: String,
    },
    /// `vsock:PORT`.
    VsockWithoutCid {
        /// The port, or an empty text.
        port: String,
    },
    /// `vsock::PORT` as a target.
    VsockCidMissing {
        /// The port.
        port: u32,
    },
    /// The text is not a vsock context id.
    VsockCid(String),
    /// The text is not a vsock port.
    VsockPort(String),
    /// The target is a number, which is probably a port.
    PortWithoutHost {
        /// The number.
        number: String,
    },
    /// The host is missing.
    HostMissing,
    /// `:PORT` as a target.
    HostMissingBeforePort {
        /// The port.
        port: String,
    },
    /// The text is not a host name: invalid characters, or too long.
    HostNameInvalid(String),
    /// The host name contains characters outside of ASCII.
    HostNameNotAscii(String),
    /// The text has only numbers, but is not an IPv4 address.
    Ipv4Malformed(String),
    /// The text has colons or brackets, but is not an IPv6 address.
    Ipv6Malformed(String),
    /// An IPv6 address without brackets and port. Its last group would be read as the port.
    Ipv6WithoutPort {
        /// The address.
        addr: String,
    },
    /// TCP cannot use the address.
    IpUnusable {
        /// The address.
        addr: IpAddr,
        /// Why TCP cannot use it.
        problem: IpProblem,
    },
    /// A link-local address without its interface.
    ZoneMissing(Ipv6Addr),
    /// The text is not the name or number of an interface.
    ZoneInvalid(String),
    /// The closing bracket is missing.
    BracketUnclosed,
    /// The text after the closing bracket is not `:PORT`.
    BracketTrailing(String),
    /// The port is missing.
    PortMissing,
    /// The number is not a port.
    PortOutOfRange(String),
    /// The text is neither a number nor the name of a service.
    PortInvalid(String),
    /// A listen address is only a port, without the address to listen on.
    ListenPortOnly {
        /// The port.
        port: String,
    },
    /// The host of a listen address is neither an IP address nor `localhost`.
    ListenHost(String),
    /// The port of a listen address is not a number.
    ListenPortName(String),
    /// The interface of a listen address is a name, not a number.
    ListenZoneName(String),
}

/// Why TCP cannot use an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpProblem {
    /// `0.0.0.0/8` other than `0.0.0.0` itself.
    ThisNetwork,
    /// A multicast address.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("address is empty"),
            Self::ZeroByte => f.write_str("the name of a UNIX socket contains a NUL byte"),
            Self::UnixPathTooLong { length } => {
                write!(f, "path has {length} bytes; a UNIX socket's path has at most 107")
            }
            Self::UnixPathIsDirectory => f.write_str("path ends with '/' and cannot be a socket"),
            Self::AbstractNameEmpty => f.write_str("nothing follows the '@' of the abstract socket"),
            Self::AbstractNameTooLong { length } => {
                write!(f, "abstract name has {length} bytes; at most 107 are possible")
            }
            Self::RelativePath { path } => {
                write!(f, "'{path}' is not an absolute path; write /run/{}", last_component(path))
            }
            Self::Url => f.write_str("URLs are not supported; write HOST:PORT"),
            Self::UnsupportedPrefix { address } => write!(f, "prefix is not supported here; write {address}"),
            Self::VsockWithoutCid { port } => {
                write!(
                    f,
                    "vsock address needs a CID and a port; write vsock:CID:{}",
                    port_or_placeholder(port)
                )
            }
            Self::VsockCidMissing { port } => {
                write!(f, "vsock target needs a CID; write vsock:2:{port} for this machine's host")
            }
            Self::VsockCid(cid) => write!(f, "'{cid}' is not a vsock CID (0 to 4294967294)"),
            Self::VsockPort(port) => write!(f, "'{port}' is not a vsock port (0 to 4294967294)"),
            Self::PortWithoutHost { number } => {
                write!(f, "{number} alone is a host, not a port; did you mean 127.0.0.1:{number}?")
            }
            Self::HostMissing => f.write_str("host is missing"),
            Self::HostMissingBeforePort { port } => {
                write!(
                    f,
                    "host is missing; write 127.0.0.1:{0}, or *:{0} for ::1 and 127.0.0.1",
                    port_or_placeholder(port)
                )
            }
            Self::HostNameInvalid(name) => write!(f, "'{name}' is not a host name"),
            Self::HostNameNotAscii(name) => {
                write!(f, "'{name}' is not ASCII; write an international name in its xn-- form")
            }
            Self::Ipv4Malformed(addr) => write!(f, "'{addr}' is not an IPv4 address"),
            Self::Ipv6Malformed(addr) => write!(f, "'{addr}' is not an IPv6 address"),
            Self::Ipv6WithoutPort { addr } => write!(f, "IPv6 address without a port; write [{addr}]:PORT"),
            Self::IpUnusable { addr, problem } => write!(f, "{addr} cannot be used with TCP: {problem}"),
            Self::ZoneMissing(addr) => {
                write!(f, "a link-local address needs an interface; write [{addr}%INTERFACE]:PORT")
            }
            Self::ZoneInvalid(zone) => write!(f, "'{zone}' is not a network interface"),
            Self::BracketUnclosed => f.write_str("']' is missing after the IPv6 address"),
            Self::BracketTrailing(rest) => write!(f, "'{rest}' follows ']'; only :PORT may follow it"),
            Self::PortMissing => f.write_str("port is missing; write HOST:PORT"),
            Self::PortOutOfRange(port) => write!(f, "{port} is not a port (1 to 65535)"),
            Self::PortInvalid(port) => write!(f, "'{port}' is neither a port nor the name of a service"),
            Self::ListenPortOnly { port } => {
                write!(f, "address is missing; write 127.0.0.1:{port}, or *:{port} for all addresses")
            }
            Self::ListenHost(host) => {
                write!(f, "'{host}' is not an address to listen on; write an IP address, localhost or *")
            }
            Self::ListenPortName(port) => write!(f, "'{port}' is not a port number"),
            Self::ListenZoneName(zone) => {
                write!(f, "interface '{zone}' must be a number (see ip link)")
            }
        }
    }
}

impl std::error::Error for AddressError {}

impl fmt::Display for IpProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ThisNetwork => "no host has an address in 0.0.0.0/8",
            Self::Multicast => "the address is a multicast address",
            Self::Broadcast => "the address is the broadcast address",
        })
    }
}

fn last_component(path: &str) -> &str {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("NAME.sock")
}

fn port_or_placeholder(port: &str) -> &str {
    if port.is_empty() { "PORT" } else { port }
}
