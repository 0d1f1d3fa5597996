//! Addresses and sockets of clients and backends.

use std::{fmt, net::SocketAddrV4, os::fd::OwnedFd, path::PathBuf, str::FromStr, time::Duration};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, Ipv4Addr, SendFlags, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType,
        accept_with, bind, connect, getsockname, listen, socket_with, sockopt,
    },
};

use crate::error::{Error, ErrorContext, Result};

/// More than the concurrent clients of any load.
const BACKLOG: i32 = 4096;
/// Makes a closed peer an error of the call instead of a SIGPIPE.
pub(crate) const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;

/// The socket family of one side of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Tcp,
    Unix,
}

/// The address of a listener. Its text is the format of the command lines of helpers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Tcp(SocketAddrV4),
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    /// Writes `127.0.0.1:PORT` or `/PATH`.
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
        text.parse().map(Self::Tcp).map_err(|_| Error::Usage(format!("invalid address: {text}")))
    }
}

impl Endpoint {
    pub(crate) fn family(&self) -> Family {
        match self {
            Self::Tcp(_) => Family::Tcp,
            Self::Unix(_) => Family::Unix,
        }
    }

    /// Returns a loopback endpoint whose port the kernel chooses at `bind()`, or the given path.
    pub(crate) fn unbound(family: Family, path: PathBuf) -> Self {
        match family {
            Family::Tcp => Self::Tcp(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)),
            Family::Unix => Self::Unix(path),
        }
    }

    /// Returns the socket address, which a load builds once for thousands of connections.
    pub(crate) fn address(&self) -> Result<SocketAddrAny> {
        Ok(match self {
            Self::Tcp(address) => (*address).into(),
            Self::Unix(path) => {
                SocketAddrUnix::new(path.as_path()).context(|| format!("use {self} as an address"))?.into()
            }
        })
    }

    /// Listens on the endpoint. The returned endpoint contains the chosen port.
    pub(crate) fn listen(&self) -> Result<(OwnedFd, Self)> {
        let listener = Self::listen_on(self.bind()?)?;
        let bound = self.name(&listener)?;
        Ok((listener, bound))
    }

    /// Returns a free port, or the path, for programs that cannot inherit a listener.
    pub(crate) fn reserve(&self) -> Result<Self> {
        match self {
            Self::Tcp(_) => self.name(&self.bind()?),
            Self::Unix(_) => Ok(self.clone()),
        }
    }

    /// Listens on a bound socket, the second step of [`Self::listen`].
    pub(crate) fn listen_on(bound: OwnedFd) -> Result<OwnedFd> {
        listen(&bound, BACKLOG).context(|| "listen".into())?;
        Ok(bound)
    }

    /// Binds a socket, the first step of [`Self::listen`].
    pub(crate) fn bind(&self) -> Result<OwnedFd> {
        let socket = stream_socket(self.family(), SocketFlags::CLOEXEC)?;
        if self.family() == Family::Tcp {
            sockopt::set_socket_reuseaddr(&socket, true)
                .context(|| format!("set SO_REUSEADDR for {self}"))?;
        }
        bind(&socket, &self.address()?).context(|| format!("bind to {self}"))?;
        Ok(socket)
    }

    fn name(&self, socket: &OwnedFd) -> Result<Self> {
        Ok(match self {
            Self::Unix(_) => self.clone(),
            Self::Tcp(_) => {
                let name = getsockname(socket).context(|| format!("get the address of {self}"))?;
                Self::Tcp(SocketAddrV4::try_from(name).context(|| format!("read the address of {self}"))?)
            }
        })
    }

    /// Opens a blocking connection, for use outside the measured loops.
    pub(crate) fn connect(&self) -> Result<OwnedFd> {
        let socket = stream_socket(self.family(), SocketFlags::CLOEXEC)?;
        connect(&socket, &self.address()?).context(|| format!("connect to {self}"))?;
        Ok(socket)
    }
}

/// Opens a stream socket.
pub(crate) fn stream_socket(family: Family, flags: SocketFlags) -> Result<OwnedFd> {
    let family = match family {
        Family::Tcp => AddressFamily::INET,
        Family::Unix => AddressFamily::UNIX,
    };
    socket_with(family, SocketType::STREAM, flags, None).context(|| "open a socket".into())
}

/// Accepts the next client, if there is one.
pub(crate) fn accept_client(listener: &OwnedFd, flags: SocketFlags) -> Result<Option<OwnedFd>> {
    match accept_with(listener, flags | SocketFlags::CLOEXEC) {
        Ok(client) => Ok(Some(client)),
        // The next wait reports other clients.
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
        Err(error) => Err(error).context(|| "accept".into()),
    }
}

/// Starts a non-blocking connection. On loopback it is usually established on return.
pub(crate) fn start_connect(family: Family, to: &SocketAddrAny, reset: bool) -> Result<OwnedFd> {
    let socket = stream_socket(family, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    if reset {
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).context(|| "set SO_LINGER".into())?;
    }
    match connect(&socket, to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error).context(|| "connect".into()),
    }
}

/// Sets `TCP_NODELAY`; no effect on UNIX sockets.
pub(crate) fn set_nodelay(socket: &OwnedFd, family: Family) -> Result<()> {
    match family {
        Family::Tcp => sockopt::set_tcp_nodelay(socket, true).context(|| "set TCP_NODELAY".into()),
        Family::Unix => Ok(()),
    }
}
