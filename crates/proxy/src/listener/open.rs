//! Listeners that dormouse opens.

use std::fmt;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use dormouse_config::endpoint;
use dormouse_config::listen_options::{ListenOptions, TcpOptions};
use dormouse_core::address::ListenAddress;
use dormouse_sys::listen_options::{bind_to_interface, set_defer_accept, set_fast_open};
use dormouse_sys::vsock::{CID_ANY, VsockAddr};
use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketAddrUnix, SocketType, bind, getsockname, listen, sockopt,
};

use super::handle::{Listener, bound_address};
use super::path;
use super::socket::socket;
use super::socket_file::{SocketFile, StepError, file_remedy};

/// The default backlog, the kernel's maximum (net.core.somaxconn).
pub(super) const BACKLOG: i32 = 4096;

/// Why a listener could not be opened.
#[derive(Debug)]
pub struct OpenError {
    /// The address.
    pub address: ListenAddress,
    /// Whether the socket would take only IPv6.
    pub v6only: bool,
    /// The operation that failed.
    pub operation: &'static str,
    /// The error of the kernel.
    pub error: std::io::Error,
}

impl OpenError {
    /// Returns advice for the administrator.
    fn remedy(&self) -> Option<&'static str> {
        use ListenAddress::{Tcp, Unix};
        Some(match (self.operation, self.error.kind(), &self.address) {
            (_, ErrorKind::AddrInUse, Tcp(_)) => "another program listens on it; find it with ss -ltnp",
            (_, ErrorKind::AddrInUse, _) => "another program listens on it; find it with ss -lxp",
            ("bind", ErrorKind::PermissionDenied, Tcp(address)) if address.port() < 1024 => {
                "ports below 1024 need CAP_NET_BIND_SERVICE, or a socket unit that passes the socket (fd:NAME in dormouse run)"
            }
            ("bind", ErrorKind::AddrNotAvailable, Tcp(_)) => {
                "no interface has this address; in dormouse run, append ?freebind to listen before one has it"
            }
            ("bind to the interface", _, _) => "list the interfaces with ip link",
            ("bind", ErrorKind::NotFound, Unix(_)) => {
                "its directory does not exist; RuntimeDirectory= of the unit creates one below /run"
            }
            ("bind", ErrorKind::AlreadyExists, Unix(_)) => "the path is a file and not a socket; remove it",
            ("bind", ErrorKind::PermissionDenied, Unix(_)) => "no permission to write to its directory",
            _ => return file_remedy(self.operation, &self.error),
        })
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = endpoint::shown(&self.address, self.v6only);
        write!(f, "cannot listen on {address}: {}: {}", self.operation, self.error)?;
        self.remedy().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

impl std::error::Error for OpenError {}

/// Opens a listener.
///
/// # Errors
/// When the kernel refuses, or another program listens on the address.
pub fn open(address: &ListenAddress, options: &ListenOptions) -> Result<Listener, OpenError> {
    listen_at(address, options).map_err(|(operation, error)| OpenError {
        address: address.clone(),
        v6only: options.tcp.v6only,
        operation,
        error,
    })
}

fn backlog(options: &ListenOptions) -> i32 {
    options.backlog.map_or(BACKLOG, |backlog| i32::try_from(backlog.get()).unwrap_or(i32::MAX))
}

fn listen_at(address: &ListenAddress, options: &ListenOptions) -> Result<Listener, StepError> {
    let failed = |error: Errno| ("bind", error.into());
    let bound = |family, address: &SocketAddrAny| {
        socket(family).and_then(|socket| bind(&socket, address).map(|()| socket)).map_err(failed)
    };
    let listener = match address {
        ListenAddress::Tcp(tcp) => open_tcp(*tcp, &options.tcp)?,
        ListenAddress::Unix(path) => return path::open(path.as_path(), &options.file, backlog(options)),
        ListenAddress::Abstract(name) => {
            let name = SocketAddrUnix::new_abstract_name(name.as_bytes()).map_err(failed)?;
            bound(AddressFamily::UNIX, &name.into())?
        }
        ListenAddress::Vsock { cid, port } => {
            let address = VsockAddr { cid: cid.unwrap_or(CID_ANY), port: *port };
            bound(AddressFamily::VSOCK, &address.as_any())?
        }
    };
    listen(&listener, backlog(options)).map_err(|error| ("listen", error.into()))?;
    let name = bound_address(&listener).unwrap_or_else(|| address.to_string());
    Ok(Listener::new(listener, name))
}

/// Adopts a socket that was opened for an address before; `identity` is the device and inode of its file. Returns `None`
/// if the socket does not match, or its file is gone.
pub fn adopt(socket: OwnedFd, address: &ListenAddress, identity: Option<(u64, u64)>) -> Option<Listener> {
    let listening = sockopt::socket_type(&socket) == Ok(SocketType::STREAM)
        && sockopt::socket_acceptconn(&socket) == Ok(true);
    let bound = getsockname(&socket).ok().filter(|_| listening)?;
    rustix::io::ioctl_fionbio(&socket, true).ok()?;
    let file = match address {
        ListenAddress::Tcp(asked) => {
            let bound = SocketAddr::try_from(bound.clone()).ok()?;
            // The wildcard address, when the machine had no IPv6.
            let all = asked.ip().is_unspecified() && bound.ip().is_unspecified() && bound.is_ipv4();
            let same =
                (bound.ip() == asked.ip() || all) && (asked.port() == 0 || bound.port() == asked.port());
            return same.then(|| {
                let name = bound_address(&socket).unwrap_or_else(|| bound.to_string());
                Listener::new(socket, name)
            });
        }
        ListenAddress::Unix(asked) => {
            let file = SocketFile::at(asked.as_path()).ok()?;
            Some(file.matching(identity)?)
        }
        ListenAddress::Abstract(_) | ListenAddress::Vsock { .. } => None,
    };
    let mut listener = Listener::new(socket, address.to_string());
    listener.file = file;
    Some(listener)
}

/// Returns a socket and the address to bind it to. The IPv6 wildcard becomes the IPv4 wildcard where the machine has no
/// IPv6.
fn socket_for(
    address: SocketAddr,
    options: &TcpOptions,
    socket: impl Fn(AddressFamily) -> rustix::io::Result<OwnedFd>,
) -> rustix::io::Result<(OwnedFd, SocketAddr)> {
    if address.is_ipv4() {
        return Ok((socket(AddressFamily::INET)?, address));
    }
    match socket(AddressFamily::INET6) {
        Err(Errno::AFNOSUPPORT) if address.ip().is_unspecified() && !options.v6only => {
            let all = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            Ok((socket(AddressFamily::INET)?, all))
        }
        opened => Ok((opened?, address)),
    }
}

fn open_tcp(address: SocketAddr, options: &TcpOptions) -> Result<OwnedFd, StepError> {
    let TcpOptions { v6only, freebind, defer_accept, fast_open, interface } = options;
    let failed = |operation| move |error: Errno| (operation, error.into());
    let (socket, address) = socket_for(address, options, socket).map_err(failed("open a socket"))?;
    sockopt::set_socket_reuseaddr(&socket, true).map_err(failed("set SO_REUSEADDR"))?;
    if let SocketAddr::V6(v6) = address {
        let only = *v6only || !v6.ip().is_unspecified();
        sockopt::set_ipv6_v6only(&socket, only).map_err(failed("set IPV6_V6ONLY"))?;
    }
    if *freebind {
        let set = if address.is_ipv4() {
            sockopt::set_ip_freebind(&socket, true)
        } else {
            sockopt::set_ipv6_freebind(&socket, true)
        };
        set.map_err(failed("set IP_FREEBIND"))?;
    }
    if let Some(interface) = interface {
        bind_to_interface(&socket, interface).map_err(|error| ("bind to the interface", error))?;
    }
    bind(&socket, &address).map_err(failed("bind"))?;
    if let Some(span) = *defer_accept {
        set_defer_accept(&socket, span).map_err(|error| ("set TCP_DEFER_ACCEPT", error))?;
    }
    if let Some(pending) = *fast_open {
        set_fast_open(&socket, pending.get()).map_err(|error| ("set TCP_FASTOPEN", error))?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn each_error_contains_advice() {
        for (address, operation, error, said) in [
            ("0.0.0.0:80", "bind", Errno::ACCESS, "a socket unit that passes the socket"),
            (
                "127.0.0.1:8080",
                "bind",
                Errno::ADDRINUSE,
                "another program listens on it; find it with ss -ltnp",
            ),
            ("@x", "bind", Errno::ADDRINUSE, "another program listens on it; find it with ss -lxp"),
            ("192.0.2.1:1", "bind", Errno::ADDRNOTAVAIL, "?freebind"),
            ("*:1", "bind to the interface", Errno::NODEV, "ip link"),
            ("/a", "bind", Errno::NOENT, "RuntimeDirectory="),
            ("/a", "bind", Errno::ACCESS, "no permission to write to its directory"),
            ("/a", "bind", Errno::EXIST, "not a socket; remove it"),
            ("/a", "set the owner", Errno::PERM, "only root can set another owner"),
        ] {
            let address = ListenAddress::parse(address).unwrap();
            let error = OpenError { address, v6only: false, operation, error: error.into() }.to_string();
            assert!(error.starts_with("cannot listen on ") && error.contains(said), "{error}");
        }
    }
    #[test]
    fn without_ipv6_the_wildcard_is_ipv4() {
        let without_ipv6 = |family| match family {
            AddressFamily::INET6 => Err(Errno::AFNOSUPPORT),
            family => socket(family),
        };
        let opened = |address: &str, options: &TcpOptions| {
            let (socket, address) = socket_for(address.parse().unwrap(), options, without_ipv6)?;
            Ok((sockopt::socket_domain(&socket)?, address.to_string()))
        };
        let plain = TcpOptions::default();
        let v6only = TcpOptions { v6only: true, ..TcpOptions::default() };
        assert_eq!(opened("[::]:80", &plain), Ok((AddressFamily::INET, "0.0.0.0:80".to_owned())));
        assert_eq!(opened("[::]:80", &v6only), Err(Errno::AFNOSUPPORT));
        assert_eq!(opened("[::1]:80", &plain), Err(Errno::AFNOSUPPORT));
    }

    #[test]
    fn adopts_a_socket_that_was_opened_without_ipv6() {
        let any = ListenAddress::parse("0.0.0.0:0").unwrap();
        let opened = open(&any, &ListenOptions::default()).unwrap();
        let asked = ListenAddress::parse("*:0").unwrap();
        assert!(adopt(opened.socket.as_fd().try_clone_to_owned().unwrap(), &asked, None).is_some());
        let other = ListenAddress::parse("127.0.0.1:0").unwrap();
        assert!(adopt(opened.socket.into_inner(), &other, None).is_none());
    }
}
