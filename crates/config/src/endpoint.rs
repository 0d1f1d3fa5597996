//! The addresses of listeners and servers.

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use dormouse_core::address::{AddressError, Host, ListenAddress, Port, Target};
use dormouse_core::dns::Source;

use super::listen_parse::{OptionError, parse, with_separators};
use super::model::{Listen, SLOTS};
use super::socket_index::SocketIndex;
use crate::listen_options::{FileOptions, ListenOptions};

/// Parses a listener: an address that [`ListenAddress`] accepts with its options, or `fd:NAME`.
pub(super) fn listen(text: &str) -> Result<Listen, ListenError> {
    if let Some(name) = text.strip_prefix("fd:") {
        let allowed = |c: char| !c.is_control() && c != ':';
        return if (1..=255).contains(&name.len()) && name.chars().all(allowed) {
            Ok(Listen::Inherited(name.to_owned()))
        } else {
            Err(ListenError::DescriptorName)
        };
    }
    // An abstract name may contain any character.
    let named = text.strip_prefix("unix:").unwrap_or(text).starts_with('@');
    if let Some(right) = with_separators(text).filter(|_| !named) {
        return Err(ListenError::Separator(right));
    }
    let (address, options) = match text.split_once('?').filter(|_| !named) {
        None => (text, None),
        Some((address, options)) => (address, Some(options)),
    };
    let address = ListenAddress::parse(address).map_err(ListenError::Address)?;
    let options = options.map_or_else(|| Ok(ListenOptions::default()), |text| parse(text, &address));
    Ok(Listen::Open { address, options: options.map_err(ListenError::Option)? })
}

/// Parses the address of a server: what [`Target`] accepts, with an optional `unix:` before a path or an abstract name,
/// but without `*`, which means all addresses of a listener.
fn target(text: &str) -> Result<Target, String> {
    let plain = text.strip_prefix("unix:").filter(|rest| rest.starts_with(['/', '@'])).unwrap_or(text);
    let of_this_machine = |port: &str| {
        format!("a server has one address; write 127.0.0.1:{port}, or localhost:{port} for ::1 and 127.0.0.1")
    };
    match Target::parse(OsStr::new(plain)) {
        Ok(Target::Tcp { host: Host::Loopback, port }) => Err(of_this_machine(&port.to_string())),
        Err(AddressError::HostMissingBeforePort { port }) if !port.is_empty() => Err(of_this_machine(&port)),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

/// Parses the address of a DNS server: an IP address with an optional port.
pub(super) fn resolver(text: &str) -> Result<SocketAddr, &'static str> {
    let bare = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    text.parse()
        .or_else(|_| bare())
        .map_err(|_| "write the address of a DNS server, for example 127.0.0.1:53")
}

/// An address of a server, or a DNS name with several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum To {
    Target(Target),
    Named(Source),
}

impl To {
    /// Parses what [`target`] accepts, `dns:NAME:PORT` or `srv:NAME`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match Source::parse(text) {
            Some(source) => source.map(Self::Named).map_err(|error| error.to_string()),
            None => target(text).map(Self::Target),
        }
    }

    /// Returns the names and addresses of the servers; a DNS name has a slot for each possible server.
    pub(super) fn servers(self, name: &str) -> Vec<(String, Target)> {
        match self {
            Self::Target(target) => vec![(name.to_owned(), target)],
            Self::Named(source) => {
                let slot = |slot: u16| Target::Slot { source: source.clone(), slot };
                (0..SLOTS).map(|number| (format!("{name}-{}", number + 1), slot(number))).collect()
            }
        }
    }
}

/// Removes each listener that another one covers, such as `0.0.0.0:80` beside `[::]:80`, because it cannot be opened.
pub fn fold<T>(found: &mut Vec<(Listen, T)>) {
    let all: Vec<Listen> = found.iter().map(|(listen, _)| listen.clone()).collect();
    let mut index = SocketIndex::default();
    for (number, listen) in all.iter().enumerate() {
        index.insert(number, listen);
    }
    found.retain(|(listen, _)| {
        let covers = |other: &Listen| other != listen && other.covers(listen);
        index.first(listen, |number| all.get(number).is_some_and(covers)).is_none()
    });
}

impl Listen {
    /// Returns a listener without options.
    pub fn at(address: ListenAddress) -> Self {
        Self::Open { address, options: ListenOptions::default() }
    }

    /// Returns whether two configurations have this socket in common; the options of the file may differ.
    pub fn is_same_socket(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Open { address: own, options: own_options },
                Self::Open { address: other, options: other_options },
            ) => {
                // The mode and the owners of the file can change later.
                let fixed_options = |options: &ListenOptions| (options.backlog, options.tcp.clone());
                own == other && fixed_options(own_options) == fixed_options(other_options)
            }
            _ => self == other,
        }
    }

    /// Returns the options of the file, if dormouse opens the socket.
    pub fn file(&self) -> Option<&FileOptions> {
        match self {
            Self::Open { options, .. } => Some(&options.file),
            Self::Inherited(_) => None,
        }
    }

    /// Returns whether the kernel chooses the port, so that each is another socket.
    pub fn is_any_port(&self) -> bool {
        matches!(self, Self::Open { address: ListenAddress::Tcp(address), .. } if address.port() == 0)
    }

    /// Returns whether this listener includes the other: the same socket, or all addresses of its port.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inherited(own), Self::Inherited(other)) => own == other,
            (
                Self::Open { address: ListenAddress::Tcp(own), options: own_options },
                Self::Open { address: ListenAddress::Tcp(other), options: other_options },
            ) => {
                let (own_interface, other_interface) =
                    (&own_options.tcp.interface, &other_options.tcp.interface);
                let apart =
                    own_interface.is_some() && other_interface.is_some() && own_interface != other_interface;
                !apart && tcp_covers(*own, own_options, *other)
            }
            (
                Self::Open { address: ListenAddress::Vsock { cid: None, port: own }, .. },
                Self::Open { address: ListenAddress::Vsock { port: other, .. }, .. },
            ) => own == other,
            (Self::Open { address: own, .. }, Self::Open { address: other, .. }) => own == other,
            _ => false,
        }
    }

    /// Returns whether only one of the two can be open.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Returns whether a connection to the target would arrive at this listener.
    pub fn is_reached_by(&self, target: &Target) -> bool {
        let Self::Open { address, options } = self else { return false };
        // A connection from this machine arrives on the loopback interface.
        if options.tcp.interface.as_ref().is_some_and(|name| name != "lo") {
            return false;
        }
        match (address, target) {
            (ListenAddress::Unix(own), Target::Unix(other)) => own == other,
            (ListenAddress::Abstract(own), Target::Abstract(other)) => own == other,
            (ListenAddress::Tcp(own), Target::Tcp { host, port: Port::Number(port) }) => {
                let reaches = |ip: IpAddr| tcp_covers(*own, options, SocketAddr::new(ip, port.get()));
                match host {
                    Host::Ip(ip) => {
                        reaches(*ip)
                            && (ip.is_loopback() || ip.is_unspecified() || !own.ip().is_unspecified())
                    }
                    Host::Loopback => {
                        reaches(IpAddr::from([127, 0, 0, 1])) || reaches(Ipv6Addr::LOCALHOST.into())
                    }
                    Host::Name(name) => name.as_str() == "localhost" && reaches(IpAddr::from([127, 0, 0, 1])),
                    Host::Scoped { .. } => false,
                }
            }
            _ => false,
        }
    }
}

/// Returns whether `own` includes `other`. `[::]` includes IPv4 without `v6only`; port 0 never conflicts.
fn tcp_covers(own: SocketAddr, options: &ListenOptions, other: SocketAddr) -> bool {
    let every = match own.ip() {
        IpAddr::V4(v4) => v4.is_unspecified() && other.is_ipv4(),
        IpAddr::V6(v6) => v6.is_unspecified() && !(options.tcp.v6only && other.is_ipv4()),
    };
    own.port() != 0 && own.port() == other.port() && (every || own == other)
}

/// Returns an address as users write it: `*:PORT` for a socket that takes clients of IPv4 and IPv6 on all addresses.
pub fn shown(address: &ListenAddress, v6only: bool) -> String {
    match address {
        ListenAddress::Tcp(tcp) if tcp.ip() == Ipv6Addr::UNSPECIFIED && !v6only => {
            format!("*:{}", tcp.port())
        }
        _ => address.to_string(),
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { address, options } => write!(f, "{}{options}", shown(address, options.tcp.v6only)),
            Self::Inherited(name) => write!(f, "fd:{name}"),
        }
    }
}

/// Why a listener is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListenError {
    Address(AddressError),
    DescriptorName,
    /// Options with other separators than '?' and '&', with the valid form.
    Separator(String),
    Option(OptionError),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(f),
            Self::DescriptorName => {
                f.write_str("fd: must be followed by the FileDescriptorName= of a socket unit, without ':'")
            }
            Self::Separator(right) => write!(
                f,
                "'?' stands before the options of a listener and '&' between them, and a path has no comma; write {right}"
            ),
            Self::Option(error) => error.fmt(f),
        }
    }
}
