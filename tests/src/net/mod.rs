//! Sockets of every family that a service manager passes, with deadlines.

mod listener;
mod stream;
mod table;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fmt, process};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, SockAddr};

pub use self::listener::Listener;
pub use self::stream::{Ending, Received, Stream};
pub use self::table::{TcpTimer, tcp_timer};
use crate::failure::Doing;
use crate::{Failure, Result};

/// A kind of stream socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// TCP over IPv4 loopback.
    Tcp4,
    /// TCP over IPv6 loopback.
    Tcp6,
    /// A UNIX socket with a path.
    Unix,
    /// A UNIX socket with an abstract name.
    Abstract,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tcp4, Self::Tcp6, Self::Unix, Self::Abstract];
}

/// The address of a listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A UNIX socket with a path.
    Unix(PathBuf),
    /// A UNIX socket with an abstract name, without the `@`.
    Abstract(String),
}

impl Address {
    /// Loopback with port 0: the kernel chooses the port.
    pub fn any_port(family: Family) -> Option<Self> {
        match family {
            Family::Tcp4 => Some(Self::Tcp((Ipv4Addr::LOCALHOST, 0).into())),
            Family::Tcp6 => Some(Self::Tcp((Ipv6Addr::LOCALHOST, 0).into())),
            Family::Unix | Family::Abstract => None,
        }
    }

    /// Returns an unused abstract name.
    pub fn new_abstract() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        Self::Abstract(format!("dormouse-test-{}-{number}", process::id()))
    }

    /// The TCP port, 0 for UNIX sockets.
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp(address) => address.port(),
            Self::Unix(_) | Self::Abstract(_) => 0,
        }
    }

    pub(crate) fn domain(&self) -> Domain {
        match self {
            Self::Tcp(address) => Domain::for_address(*address),
            Self::Unix(_) | Self::Abstract(_) => Domain::UNIX,
        }
    }

    pub(crate) fn to_socket_address(&self) -> Result<SockAddr> {
        match self {
            Self::Tcp(address) => Ok((*address).into()),
            Self::Unix(path) => SockAddr::unix(path),
            Self::Abstract(name) => SockAddr::unix(format!("\0{name}")),
        }
        .doing(|| format!("make an address of {self}"))
    }
}

/// The target format of the command line that systemd-socket-proxyd also accepts: IPv6 without brackets.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{}:{}", address.ip(), address.port()),
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

/// Whether `fd` is ready for `what` within `limit`. A signal during the wait counts as not ready.
fn ready(fd: BorrowedFd<'_>, what: PollFlags, limit: Duration) -> Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(fd, what)];
    let timeout =
        Timespec::try_from(limit).map_err(|_| Failure::Unexpected(format!("{limit:?} is too long")))?;
    match poll(&mut fds, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error).doing(|| "poll a socket".to_owned()),
    }
}
