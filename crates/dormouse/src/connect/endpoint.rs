//! Addresses of sockets of any family.

use std::ffi::OsStr;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dormouse_core::proxy_protocol::Addresses;
use dormouse_relay::Kind;
use dormouse_sys::vsock::VsockAddr;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, getpeername, getsockname};

/// Something that can be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// TCP.
    Inet(SocketAddr),
    /// A UNIX socket.
    Unix(SocketAddrUnix),
    /// A virtual machine's port.
    Vsock(VsockAddr),
}

impl Endpoint {
    /// Its family.
    pub fn family(&self) -> AddressFamily {
        match self {
            Self::Inet(SocketAddr::V4(_)) => AddressFamily::INET,
            Self::Inet(SocketAddr::V6(_)) => AddressFamily::INET6,
            Self::Unix(_) => AddressFamily::UNIX,
            Self::Vsock(_) => AddressFamily::VSOCK,
        }
    }

    /// What its sockets can do.
    pub fn kind(&self) -> Kind {
        if self.family() == AddressFamily::UNIX { Kind::Unix } else { Kind::Plain }
    }

    /// As the kernel wants it.
    pub fn to_any(&self) -> SocketAddrAny {
        match self {
            Self::Inet(address) => address.as_any(),
            Self::Unix(address) => address.as_any(),
            Self::Vsock(address) => address.as_any(),
        }
    }

    /// Its path in the file system.
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

/// Who is at the far end of an accepted connection, and where it came in.
#[derive(Debug, Clone)]
pub struct Peer {
    far: Option<SocketAddrAny>,
    near: Option<SocketAddrAny>,
}

impl Peer {
    /// Asks the kernel about a connected socket. A peer that has already gone is nobody.
    pub fn of(socket: impl AsFd) -> Self {
        Self { far: getpeername(&socket).ok().flatten(), near: getsockname(&socket).ok() }
    }

    /// Nobody that we asked about.
    pub fn unknown() -> Self {
        Self { far: None, near: None }
    }

    /// Its address, if it came over IP.
    pub fn ip(&self) -> Option<std::net::IpAddr> {
        let far = SocketAddr::try_from(self.far.clone()?).ok()?;
        Some(far.ip())
    }

    /// The two ends, as a PROXY header tells them.
    pub fn proxy_addresses(&self) -> Addresses {
        let (Some(far), Some(near)) = (&self.far, &self.near) else { return Addresses::Unknown };
        if let (Ok(src), Ok(dst)) = (SocketAddr::try_from(far.clone()), SocketAddr::try_from(near.clone())) {
            return Addresses::Inet { src, dst };
        }
        let unix =
            |address: &SocketAddrAny| SocketAddrUnix::try_from(address.clone()).map(|unix| unix_name(&unix));
        match (unix(far), unix(near)) {
            (Ok(src), Ok(dst)) => Addresses::Unix { src, dst },
            _ => Addresses::Unknown,
        }
    }
}

fn unix_name(address: &SocketAddrUnix) -> Vec<u8> {
    match (address.path_bytes(), address.abstract_name()) {
        (Some(path), _) => path.to_vec(),
        (_, Some(name)) => [b"\0", name].concat(),
        _ => Vec::new(),
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(far) = &self.far else { return f.write_str("a client that has gone") };
        if let Ok(address) = SocketAddr::try_from(far.clone()) {
            return write!(f, "{address}");
        }
        match SocketAddrUnix::try_from(far.clone()) {
            Ok(address) if !unix_name(&address).is_empty() => write!(f, "{}", Endpoint::Unix(address)),
            Ok(_) => f.write_str("a local client"),
            Err(_) => f.write_str("a client of another address family"),
        }
    }
}
