//! Addresses of sockets of any family.

use std::ffi::OsStr;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dormouse_relay::StreamKind;
use dormouse_sys::vsock::VsockAddr;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, getpeername};

/// The address of a socket of any family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// TCP.
    Inet(SocketAddr),
    /// A UNIX socket.
    Unix(SocketAddrUnix),
    /// A vsock address.
    Vsock(VsockAddr),
}

impl Endpoint {
    /// Returns the address of the other end of a connection by TCP or by a UNIX socket.
    pub fn of_peer(socket: BorrowedFd<'_>) -> Option<Self> {
        let peer = getpeername(socket).ok()??;
        match peer.address_family() {
            AddressFamily::INET | AddressFamily::INET6 => SocketAddr::try_from(peer).ok().map(Self::Inet),
            AddressFamily::UNIX => SocketAddrUnix::try_from(peer).ok().map(Self::Unix),
            _ => None,
        }
    }

    /// Returns the address family.
    pub fn family(&self) -> AddressFamily {
        match self {
            Self::Inet(SocketAddr::V4(_)) => AddressFamily::INET,
            Self::Inet(SocketAddr::V6(_)) => AddressFamily::INET6,
            Self::Unix(_) => AddressFamily::UNIX,
            Self::Vsock(_) => AddressFamily::VSOCK,
        }
    }

    /// Returns the kind of its sockets.
    pub fn kind(&self) -> StreamKind {
        if self.family() == AddressFamily::UNIX { StreamKind::Unix } else { StreamKind::Other }
    }

    /// Returns the address for system calls.
    pub fn to_any(&self) -> SocketAddrAny {
        match self {
            Self::Inet(address) => address.as_any(),
            Self::Unix(address) => address.as_any(),
            Self::Vsock(address) => address.as_any(),
        }
    }

    /// Returns the path in the file system, if it has one.
    pub fn path(&self) -> Option<&Path> {
        let Self::Unix(address) = self else { return None };
        address.path_bytes().map(|path| Path::new(OsStr::from_bytes(path)))
    }
}

impl From<SocketAddrUnix> for Endpoint {
    fn from(address: SocketAddrUnix) -> Self {
        Self::Unix(address)
    }
}

impl From<VsockAddr> for Endpoint {
    fn from(address: VsockAddr) -> Self {
        Self::Vsock(address)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => write!(f, "{address}"),
            Self::Unix(address) => match (address.path_bytes(), address.abstract_name()) {
                (Some(path), _) => write!(f, "{}", String::from_utf8_lossy(path)),
                (_, Some(name)) => write!(f, "@{}", String::from_utf8_lossy(name)),
                _ => f.write_str("an unnamed socket"),
            },
            Self::Vsock(VsockAddr { cid, port }) => write!(f, "vsock:{cid}:{port}"),
        }
    }
}
