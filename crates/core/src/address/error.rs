//! Why an address is refused, and what to write instead.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Why an address is refused. The text names the part that is wrong, not the whole address: the caller says where
/// that came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressError {
    /// Nothing was given.
    Empty,
    /// A zero byte in a UNIX socket's name.
    ZeroByte,
    /// A path that does not fit into a socket address.
    UnixPathTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A path that ends with a slash.
    UnixPathIsDirectory,
    /// An `@` with nothing behind it.
    AbstractNameEmpty,
    /// An abstract name that does not fit into a socket address.
    AbstractNameTooLong {
        /// Its length in bytes, without the `@`.
        length: usize,
    },
    /// What seems to be a path, but does not begin with a slash.
    RelativePath {
        /// The path as given.
        path: String,
    },
    /// A URL.
    Url,
    /// A target that begins with `tcp:` or `unix:`, or anything that begins with `tcp://`.
    UnsupportedPrefix {
        /// What follows the prefix.
        address: String,
    },
    /// `vsock:PORT`.
    VsockWithoutCid {
        /// The part that is there.
        port: String,
    },
    /// `vsock::PORT` as a target.
    VsockCidMissing {
        /// The port.
        port: u32,
    },
    /// Not a vsock context id.
    VsockCid(String),
    /// Not a vsock port.
    VsockPort(String),
    /// A number from which no host can be read that makes sense; a port was meant.
    PortWithoutHost {
        /// The number.
        number: String,
    },
    /// No host at all.
    HostMissing,
    /// `:PORT` as a target.
    HostMissingBeforePort {
        /// The port.
        port: String,
    },
    /// Not a host name: characters, or length.
    HostNameInvalid(String),
    /// A host name with characters outside of ASCII.
    HostNameNotAscii(String),
    /// Nothing but numbers, but not an IPv4 address.
    Ipv4Malformed(String),
    /// Not an IPv6 address, though it has colons or brackets.
    Ipv6Malformed(String),
    /// An IPv6 address without brackets and port, whose last colon would be taken for the port's.
    Ipv6WithoutPort {
        /// The address.
        addr: String,
    },
    /// An address that TCP cannot reach.
    IpUnusable {
        /// The address.
        addr: IpAddr,
        /// Why it cannot.
        problem: IpProblem,
    },
    /// A link-local address without the interface that it belongs to.
    ZoneMissing(Ipv6Addr),
    /// Not an interface's name or number.
    ZoneInvalid(String),
    /// An opening bracket without a closing one.
    BracketUnclosed,
    /// Something other than `:PORT` behind a closing bracket.
    BracketTrailing(String),
    /// A colon with nothing behind it, or no port where one is needed.
    PortMissing,
    /// A number that is not a port.
    PortOutOfRange(String),
    /// Neither a number nor a service's name.
    PortInvalid(String),
    /// To listen on: a port alone, which does not say on which addresses.
    ListenPortOnly {
        /// The port.
        port: String,
    },
    /// To listen on: a host that is neither an address nor `localhost`.
    ListenHost(String),
    /// To listen on: a port that is not a number.
    ListenPortName(String),
    /// To listen on: an interface by its name.
    ListenZoneName(String),
}

/// Why TCP cannot use an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpProblem {
    /// `0.0.0.0/8` other than `0.0.0.0` itself.
    ThisNetwork,
    /// A group of hosts.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("address is empty"),
            Self::ZeroByte => f.write_str("name of a UNIX socket contains a zero byte"),
            Self::UnixPathTooLong { length } => {
                write!(f, "path has {length} bytes, a UNIX socket's path at most 107")
            }
            Self::UnixPathIsDirectory => f.write_str("path ends with '/' and cannot be a socket"),
            Self::AbstractNameEmpty => f.write_str("nothing follows the '@' of the abstract socket"),
            Self::AbstractNameTooLong { length } => {
                write!(f, "abstract name has {length} bytes, at most 107 are possible")
            }
            Self::RelativePath { path } => {
                write!(f, "'{path}' is not an absolute path; write /run/{}", last_component(path))
            }
            Self::Url => f.write_str("URLs are not taken; write HOST:PORT"),
            Self::UnsupportedPrefix { address } => write!(f, "prefix is not taken here; write {address}"),
            Self::VsockWithoutCid { port } => {
                write!(
                    f,
                    "vsock address needs a CID and a port; write vsock:CID:{}",
                    port_or_placeholder(port)
                )
            }
            Self::VsockCidMissing { port } => {
                write!(f, "vsock target needs a CID; write vsock:2:{port} for the host of this machine")
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
                write!(f, "link-local address needs its interface; write [{addr}%INTERFACE]:PORT")
            }
            Self::ZoneInvalid(zone) => write!(f, "'{zone}' is not a network interface"),
            Self::BracketUnclosed => f.write_str("']' is missing after the IPv6 address"),
            Self::BracketTrailing(rest) => write!(f, "'{rest}' follows ']' where only :PORT may"),
            Self::PortMissing => f.write_str("port is missing; write HOST:PORT"),
            Self::PortOutOfRange(port) => write!(f, "{port} is not a port (1 to 65535)"),
            Self::PortInvalid(port) => write!(f, "'{port}' is neither a port nor the name of a service"),
            Self::ListenPortOnly { port } => {
                write!(
                    f,
                    "does not say where to listen; write 127.0.0.1:{port}, or *:{port} for all addresses"
                )
            }
            Self::ListenHost(host) => {
                write!(f, "'{host}' is not an address to listen on; write an IP address, localhost or *")
            }
            Self::ListenPortName(port) => write!(f, "'{port}' is not a port number"),
            Self::ListenZoneName(zone) => {
                write!(f, "interface '{zone}' has to be given by its number (as in ip link)")
            }
        }
    }
}

impl std::error::Error for AddressError {}

impl fmt::Display for IpProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ThisNetwork => "no host has an address in 0.0.0.0/8",
            Self::Multicast => "it is a multicast address",
            Self::Broadcast => "it is the broadcast address",
        })
    }
}

fn last_component(path: &str) -> &str {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("NAME.sock")
}

fn port_or_placeholder(port: &str) -> &str {
    if port.is_empty() { "PORT" } else { port }
}
