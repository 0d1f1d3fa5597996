//! Listening sockets.

use std::fs;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::event::PollFlags;
use socket2::{SockRef, Socket, Type};

use super::{Address, Family, Stream, ready};
use crate::failure::Doing;
use crate::temp::TempDir;
use crate::wait::Deadline;
use crate::{Failure, Result};

/// The default length of the accept queue.
const BACKLOG: i32 = 1024;

/// A listening stream socket: a socket to pass to the program under test, or a backend's.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
    _dir: Option<TempDir>,
}

impl Listener {
    /// Listens on loopback at a port that the kernel chooses, or at a new path or abstract name.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn bind(family: Family) -> Result<Self> {
        Self::with_backlog(family, BACKLOG)
    }

    /// Like [`bind`](Self::bind), with a queue of this length.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn with_backlog(family: Family, backlog: i32) -> Result<Self> {
        let listener = Self::bound(family)?;
        listener.listen(backlog)?;
        Ok(listener)
    }

    /// Binds a socket without listening: connections to its address are refused.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn bound(family: Family) -> Result<Self> {
        match family {
            Family::Unix => {
                let dir = TempDir::new()?;
                let address = Address::Unix(dir.join("socket"));
                let bound = Self::bound_at(&address)?;
                Ok(Self { _dir: Some(dir), ..bound })
            }
            Family::Abstract => Self::bound_at(&Address::new_abstract()),
            Family::Tcp4 | Family::Tcp6 => {
                let address = Address::any_port(family)
                    .ok_or_else(|| Failure::Unexpected(format!("{family:?} without an address")))?;
                Self::bound_at(&address)
            }
        }
    }

    /// Listens on this address.
    ///
    /// # Errors
    /// When the socket cannot be made, or the address is in use.
    pub fn bind_at(address: &Address) -> Result<Self> {
        let listener = Self::bound_at(address)?;
        listener.listen(BACKLOG)?;
        Ok(listener)
    }

    fn bound_at(address: &Address) -> Result<Self> {
        let socket = Socket::new(address.domain(), Type::STREAM, None)
            .doing(|| format!("make a socket for {address}"))?;
        if let Address::Tcp(tcp) = address {
            socket.set_reuse_address(true).doing(|| "set SO_REUSEADDR".to_owned())?;
            if tcp.is_ipv6() && !tcp.ip().is_unspecified() {
                socket.set_only_v6(true).doing(|| "set IPV6_V6ONLY".to_owned())?;
            }
        }
        socket.bind(&address.to_socket_address()?).doing(|| format!("bind {address}"))?;
        let address = match address {
            Address::Tcp(_) => {
                let local = socket.local_addr().doing(|| format!("ask for the port of {address}"))?;
                local.as_socket().map_or_else(|| address.clone(), Address::Tcp)
            }
            Address::Unix(path) => {
                // The program under test may run as another user.
                fs::set_permissions(path, fs::Permissions::from_mode(0o666))
                    .doing(|| format!("chmod {}", path.display()))?;
                address.clone()
            }
            Address::Abstract(_) => address.clone(),
        };
        Ok(Self { socket, address, _dir: None })
    }

    /// Starts to listen, or changes the length of the accept queue.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen(&self, backlog: i32) -> Result<()> {
        self.socket.listen(backlog).doing(|| format!("listen on {}", self.address))
    }

    /// Stops listening at once and closes the socket. A drop alone may take effect later: a process that another
    /// thread starts at the same time holds a copy of every descriptor until it executes its program.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn close(self) -> Result<()> {
        self.socket.shutdown(Shutdown::Both).doing(|| format!("stop listening on {}", self.address))
    }

    /// The address of the listener; its `Display` is the target format of the command line.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The options of the socket.
    pub fn options(&self) -> SockRef<'_> {
        SockRef::from(&self.socket)
    }

    /// Accepts the next connection.
    ///
    /// # Errors
    /// When none comes within `limit`.
    pub fn accept(&self, limit: Duration) -> Result<Stream> {
        let deadline = Deadline::after(limit);
        loop {
            let left = deadline.left(|| format!("connection to {}", self.address))?;
            if !ready(self.as_fd(), PollFlags::IN, left)? {
                continue;
            }
            match self.socket.accept() {
                Ok((socket, _)) => return Stream::from_socket(socket),
                // Another process that shares the socket may have accepted first; a client may have left.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                    ) => {}
                Err(error) => return Err(error).doing(|| format!("accept on {}", self.address)),
            }
        }
    }

    /// Whether a connection is in the queue now, or arrives within `limit`.
    ///
    /// # Errors
    /// When the poll fails.
    pub fn has_pending(&self, limit: Duration) -> Result<bool> {
        ready(self.as_fd(), PollFlags::IN, limit)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
