//! A client: its socket, and its addresses as the kernel or a trusted proxy reports them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use dormouse_core::proxy_protocol::{Addresses, Tlv};
use dormouse_relay::{StreamKind, kind_of, socket_fd};
use dormouse_sys::socket_fd::SocketFd;
use rustix::net::{SocketAddrAny, SocketAddrUnix, getpeername, getsockname};

/// A client's socket, connected and non-blocking.
#[derive(Debug)]
pub struct Client {
    /// The socket.
    pub socket: SocketFd,
}

impl Client {
    /// Takes the socket of a client.
    pub fn new(socket: OwnedFd, kind: StreamKind) -> Self {
        Self { socket: socket_fd(socket, kind) }
    }

    /// Returns the kind of the socket.
    pub fn kind(&self) -> StreamKind {
        kind_of(&self.socket)
    }
}

/// The addresses of an accepted connection.
#[derive(Debug, Clone)]
pub struct Peer {
    remote: Option<SocketAddrAny>,
    local: Option<SocketAddrAny>,
    proxied: Option<Box<ProxiedClient>>,
    unique_id: Option<Box<str>>,
}

/// What a PROXY header reports about the client.
#[derive(Debug, Clone)]
struct ProxiedClient {
    addresses: Addresses,
    tlvs: Vec<Tlv>,
}

impl Peer {
    /// Reads the addresses of a connected socket from the kernel. The peer is unknown if it has already disconnected.
    pub fn of(socket: impl AsFd) -> Self {
        Self {
            remote: getpeername(&socket).ok().flatten(),
            local: getsockname(&socket).ok(),
            ..Self::unknown()
        }
    }

    /// The same for a client of a UNIX socket at a path. The kernel reports the name before the rename (`listener::path`).
    pub fn of_unix_path(socket: impl AsFd, path: &Path) -> Self {
        let peer = Self::of(socket);
        match SocketAddrUnix::new(path) {
            Ok(address) => Self { local: Some(address.into()), ..peer },
            Err(_) => peer,
        }
    }

    /// Returns a peer without addresses.
    pub fn unknown() -> Self {
        Self { remote: None, local: None, proxied: None, unique_id: None }
    }

    /// Sets the addresses and TLVs of a PROXY header. A header without addresses is about the proxy itself and changes
    /// nothing.
    pub fn set_proxied(&mut self, addresses: Addresses, tlvs: Vec<Tlv>) {
        if addresses != Addresses::Unknown {
            self.proxied = Some(Box::new(ProxiedClient { addresses, tlvs }));
        }
    }

    /// Returns whether the addresses are from a PROXY header.
    pub fn is_proxied(&self) -> bool {
        self.proxied.is_some()
    }

    /// Returns the TLVs of the PROXY header.
    pub fn tlvs(&self) -> &[Tlv] {
        self.proxied.as_ref().map(|proxied| proxied.tlvs.as_slice()).unwrap_or_default()
    }

    /// Returns the unique ID that the server gets, if one is set.
    pub fn unique_id(&self) -> Option<&str> {
        self.unique_id.as_deref()
    }

    /// Sets the unique ID of the session.
    pub fn set_unique_id(&mut self, id: String) {
        self.unique_id = Some(id.into());
    }

    /// Returns the client's IP address, if it has one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket_address().map(|address| address.ip())
    }

    /// Returns the client's IP address and port, if it has them.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match self.proxied.as_ref().map(|proxied| &proxied.addresses) {
            Some(Addresses::Inet { src, .. }) => Some(*src),
            Some(_) => None,
            None => SocketAddr::try_from(self.remote.clone()?).ok(),
        }
    }

    /// Returns source and destination for a PROXY header.
    pub fn proxy_addresses(&self) -> Addresses {
        if let Some(proxied) = &self.proxied {
            return proxied.addresses.clone();
        }
        let (Some(remote), Some(local)) = (&self.remote, &self.local) else { return Addresses::Unknown };
        if let (Ok(src), Ok(dst)) =
            (SocketAddr::try_from(remote.clone()), SocketAddr::try_from(local.clone()))
        {
            return Addresses::Inet { src, dst };
        }
        let unix =
            |address: &SocketAddrAny| SocketAddrUnix::try_from(address.clone()).map(|unix| unix_name(&unix));
        match (unix(remote), unix(local)) {
            (Ok(src), Ok(dst)) => Addresses::Unix { src, dst },
            _ => Addresses::Unknown,
        }
    }
}

fn unix_name(address: &SocketAddrUnix) -> Vec<u8> {
    match (address.path_bytes(), address.abstract_name()) {
        (Some(path), _) => path.to_vec(),
        // An unnamed socket has an empty name.
        (_, Some(name)) if !name.is_empty() => [b"\0", name].concat(),
        _ => Vec::new(),
    }
}

/// The texts for clients without an address.
const DISCONNECTED: &str = "a disconnected client";
const OTHER_FAMILY: &str = "a client of another address family";
const LOCAL: &str = "a local client";

impl Peer {
    /// Returns the client as part of a sentence: `the client ADDRESS`, or a text without an address.
    pub fn phrase(&self) -> String {
        match self.to_string() {
            text if [DISCONNECTED, OTHER_FAMILY, LOCAL].contains(&text.as_str()) => text,
            address => format!("the client {address}"),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.proxied.as_ref().map(|proxied| &proxied.addresses) {
            Some(Addresses::Inet { src, .. }) => return write!(f, "{src}"),
            Some(Addresses::Unix { src, .. }) => return write!(f, "{}", UnixName(src)),
            _ => {}
        }
        let Some(remote) = &self.remote else { return f.write_str(DISCONNECTED) };
        if let Ok(address) = SocketAddr::try_from(remote.clone()) {
            return write!(f, "{address}");
        }
        match SocketAddrUnix::try_from(remote.clone()) {
            Ok(address) => write!(f, "{}", UnixName(&unix_name(&address))),
            Err(_) => f.write_str(OTHER_FAMILY),
        }
    }
}

/// The name of a UNIX socket in the form of a PROXY header.
struct UnixName<'a>(&'a [u8]);

impl fmt::Display for UnixName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str(LOCAL),
            [0, name @ ..] => write!(f, "@{}", String::from_utf8_lossy(name).escape_debug()),
            [b'/', ..] => write!(f, "{}", String::from_utf8_lossy(self.0).escape_debug()),
            // The client has chosen it, and must not look like an IP address or one of the texts above.
            relative => write!(f, "unix:{}", String::from_utf8_lossy(relative).escape_debug()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unix_client_cannot_look_like_another_one() {
        let shown = |name: &[u8]| UnixName(name).to_string();
        assert_eq!(shown(b"203.0.113.7:4711"), "unix:203.0.113.7:4711");
        assert_eq!(shown(LOCAL.as_bytes()), format!("unix:{LOCAL}"));
        assert_eq!([shown(b"/run/x"), shown(b"\0x"), shown(b"")], ["/run/x", "@x", LOCAL]);
    }
}
