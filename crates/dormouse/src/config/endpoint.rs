//! Where clients arrive and where they go.

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use dormouse_core::address::{AddressError, Host, ListenAddress, Port, Target};

use super::model::Listen;

/// Reads a listener's address: what [`ListenAddress`] takes, `fd:NAME`, and `?mode=` behind a path.
pub(super) fn listen(text: &str) -> Result<Listen, ListenError> {
    if let Some(name) = text.strip_prefix("fd:") {
        let allowed = |c: char| !c.is_control() && c != ':';
        return if (1..=255).contains(&name.len()) && name.chars().all(allowed) {
            Ok(Listen::Inherited(name.to_owned()))
        } else {
            Err(ListenError::DescriptorName)
        };
    }
    let path = text.strip_prefix("unix:").unwrap_or(text).starts_with('/');
    let (address, mode) = match text.split_once('?').filter(|_| path) {
        None => (text, None),
        Some((address, parameter)) => {
            let digits = parameter.strip_prefix("mode=").ok_or(ListenError::Parameter)?;
            (address, Some(parse_mode(digits).ok_or(ListenError::Mode)?))
        }
    };
    let address = ListenAddress::parse(address).map_err(ListenError::Address)?;
    Ok(Listen::Open { address, mode })
}

fn parse_mode(digits: &str) -> Option<u32> {
    let octal = (3..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    u32::from_str_radix(digits, 8).ok().filter(|mode| octal && *mode <= 0o777)
}

/// Reads a server's address: what [`Target`] takes, and `unix:` before a path or an abstract name.
pub(super) fn target(text: &str) -> Result<Target, AddressError> {
    let plain = text.strip_prefix("unix:").filter(|rest| rest.starts_with(['/', '@'])).unwrap_or(text);
    Target::parse(OsStr::new(plain))
}

impl Listen {
    /// Whether this is the same socket in two configurations, whatever else is said of it.
    pub(crate) fn is_same_socket(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Open { address: ours, .. }, Self::Open { address: theirs, .. }) => ours == theirs,
            _ => self == other,
        }
    }

    /// The mode of its file, if one is told.
    pub(crate) fn mode(&self) -> Option<u32> {
        match self {
            Self::Open { mode, .. } => *mode,
            Self::Inherited(_) => None,
        }
    }

    /// Whether the kernel chooses the port: each of these is another socket.
    pub(crate) fn is_any_port(&self) -> bool {
        matches!(self, Self::Open { address: ListenAddress::Tcp(address), .. } if address.port() == 0)
    }

    /// Whether whoever listens here leaves nothing for the other: the same socket, or all addresses of its port.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inherited(ours), Self::Inherited(theirs)) => ours == theirs,
            (
                Self::Open { address: ListenAddress::Tcp(ours), .. },
                Self::Open { address: ListenAddress::Tcp(theirs), .. },
            ) => tcp_covers(*ours, *theirs),
            (
                Self::Open { address: ListenAddress::Vsock { cid: None, port: ours }, .. },
                Self::Open { address: ListenAddress::Vsock { port: theirs, .. }, .. },
            ) => ours == theirs,
            (Self::Open { address: ours, .. }, Self::Open { address: theirs, .. }) => ours == theirs,
            _ => false,
        }
    }

    /// Whether a connection to the target would arrive here again.
    pub(super) fn is_reached_by(&self, target: &Target) -> bool {
        let Self::Open { address, .. } = self else { return false };
        match (address, target) {
            (ListenAddress::Unix(ours), Target::Unix(theirs)) => ours == theirs,
            (ListenAddress::Abstract(ours), Target::Abstract(theirs)) => ours == theirs,
            (ListenAddress::Tcp(ours), Target::Tcp { host, port: Port::Number(port) }) => {
                let reaches = |ip: IpAddr| tcp_covers(*ours, SocketAddr::new(ip, port.get()));
                match host {
                    Host::Ip(ip) => {
                        reaches(*ip)
                            && (ip.is_loopback() || ip.is_unspecified() || !ours.ip().is_unspecified())
                    }
                    Host::Loopback => {
                        reaches(IpAddr::from([127, 0, 0, 1])) || reaches(std::net::Ipv6Addr::LOCALHOST.into())
                    }
                    Host::Name(name) => name.as_str() == "localhost" && reaches(IpAddr::from([127, 0, 0, 1])),
                    Host::Scoped { .. } => false,
                }
            }
            _ => false,
        }
    }
}

/// `[::]` listens for IPv4 as well; port 0 is another one each time.
fn tcp_covers(ours: SocketAddr, theirs: SocketAddr) -> bool {
    let every = match ours.ip() {
        IpAddr::V4(v4) => v4.is_unspecified() && theirs.is_ipv4(),
        IpAddr::V6(v6) => v6.is_unspecified(),
    };
    ours.port() != 0 && ours.port() == theirs.port() && (every || ours == theirs)
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { address, mode: None } => address.fmt(f),
            Self::Open { address, mode: Some(mode) } => write!(f, "{address}?mode={mode:04o}"),
            Self::Inherited(name) => write!(f, "fd:{name}"),
        }
    }
}

/// Why nothing can arrive there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListenError {
    Address(AddressError),
    DescriptorName,
    Parameter,
    Mode,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(f),
            Self::DescriptorName => f.write_str(
                "a name of passed sockets follows fd:, as FileDescriptorName= gives it, without ':'",
            ),
            Self::Parameter => f.write_str("only a mode may follow the path; write ?mode=0660"),
            Self::Mode => f.write_str("the mode is an octal number from 0000 to 0777; write ?mode=0660"),
        }
    }
}
