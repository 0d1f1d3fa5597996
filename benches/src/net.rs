//! Addresses and sockets of the load's two ends.

use std::{fmt, net::SocketAddrV4, os::fd::OwnedFd, path::PathBuf, str::FromStr, time::Duration};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, Ipv4Addr, SendFlags, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType,
        accept_with, bind, connect, getsockname, listen, socket_with, sockopt,
    },
};

use crate::error::{Doing, Error, Result};

/// Long enough for every client that a load sends at once.
const BACKLOG: i32 = 4096;
/// No SIGPIPE: a peer that left is an error of the call.
pub(crate) const SEND: SendFlags = SendFlags::NOSIGNAL;

/// The socket family of one side of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Tcp,
    Unix,
}

/// Where a socket listens. Its text is what the two roles of a load tell each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Tcp(SocketAddrV4),
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    /// `127.0.0.1:PORT` or `/PATH`: what every program here takes as a target.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        text.parse().map(Self::Tcp).map_err(|_| Error::Usage(format!("not an address: {text}")))
    }
}

impl Endpoint {
    pub(crate) fn family(&self) -> Family {
        match self {
            Self::Tcp(_) => Family::Tcp,
            Self::Unix(_) => Family::Unix,
        }
    }

    /// A loopback endpoint that the kernel chooses a port for when it listens, or the given path.
    pub(crate) fn unbound(family: Family, path: PathBuf) -> Self {
        match family {
            Family::Tcp => Self::Tcp(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)),
            Family::Unix => Self::Unix(path),
        }
    }

    /// The address in the kernel's form, built once: a load connects thousands of times.
    pub(crate) fn address(&self) -> Result<SocketAddrAny> {
        Ok(match self {
            Self::Tcp(address) => (*address).into(),
            Self::Unix(path) => {
                SocketAddrUnix::new(path.as_path()).doing(|| format!("use {self} as an address"))?.into()
            }
        })
    }

    /// Listens here; the endpoint returned has the port that was chosen.
    pub(crate) fn listen(&self) -> Result<(OwnedFd, Self)> {
        let listener = Self::listening(self.bound()?)?;
        let bound = self.name(&listener)?;
        Ok((listener, bound))
    }

    /// A free port, or the path, for the programs that cannot be handed a socket.
    pub(crate) fn reserve(&self) -> Result<Self> {
        match self {
            Self::Tcp(_) => self.name(&self.bound()?),
            Self::Unix(_) => Ok(self.clone()),
        }
    }

    /// The second step of [`Self::listen`].
    pub(crate) fn listening(bound: OwnedFd) -> Result<OwnedFd> {
        listen(&bound, BACKLOG).doing(|| "listen".into())?;
        Ok(bound)
    }

    /// The first step of [`Self::listen`].
    pub(crate) fn bound(&self) -> Result<OwnedFd> {
        let socket = stream(self.family(), SocketFlags::CLOEXEC)?;
        if self.family() == Family::Tcp {
            sockopt::set_socket_reuseaddr(&socket, true).doing(|| format!("set SO_REUSEADDR for {self}"))?;
        }
        bind(&socket, &self.address()?).doing(|| format!("bind to {self}"))?;
        Ok(socket)
    }

    fn name(&self, socket: &OwnedFd) -> Result<Self> {
        Ok(match self {
            Self::Unix(_) => self.clone(),
            Self::Tcp(_) => {
                let name = getsockname(socket).doing(|| format!("ask for the address of {self}"))?;
                Self::Tcp(SocketAddrV4::try_from(name).doing(|| format!("read the address of {self}"))?)
            }
        })
    }

    /// A blocking connection, for what is not in a load's inner loop.
    pub(crate) fn connect(&self) -> Result<OwnedFd> {
        let socket = stream(self.family(), SocketFlags::CLOEXEC)?;
        connect(&socket, &self.address()?).doing(|| format!("connect to {self}"))?;
        Ok(socket)
    }
}

/// A stream socket of the family.
pub(crate) fn stream(family: Family, flags: SocketFlags) -> Result<OwnedFd> {
    let family = match family {
        Family::Tcp => AddressFamily::INET,
        Family::Unix => AddressFamily::UNIX,
    };
    socket_with(family, SocketType::STREAM, flags, None).doing(|| "open a socket".into())
}

/// The next client, if there is one.
pub(crate) fn accepted(listener: &OwnedFd, flags: SocketFlags) -> Result<Option<OwnedFd>> {
    match accept_with(listener, flags | SocketFlags::CLOEXEC) {
        Ok(client) => Ok(Some(client)),
        // Who else is there shows at the next wait.
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
        Err(error) => Err(error).doing(|| "accept".into()),
    }
}

/// Begins a non-blocking connection. On loopback it is nearly always made when this returns.
pub(crate) fn connecting(family: Family, to: &SocketAddrAny, reset: bool) -> Result<OwnedFd> {
    let socket = stream(family, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    if reset {
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).doing(|| "set SO_LINGER".into())?;
    }
    match connect(&socket, to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error).doing(|| "connect".into()),
    }
}

/// Sends small messages at once; no effect on UNIX sockets.
pub(crate) fn set_nodelay(socket: &OwnedFd, family: Family) -> Result<()> {
    match family {
        Family::Tcp => sockopt::set_tcp_nodelay(socket, true).doing(|| "set TCP_NODELAY".into()),
        Family::Unix => Ok(()),
    }
}
