//! Connected sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::PollFlags;
use socket2::{SockRef, Socket, Type};

use super::Address;
use crate::failure::Doing;
use crate::wait::Deadline;
use crate::{Failure, Result};

/// A connected stream socket.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
}

/// How a stream ended for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The peer has closed or shut down its sending side.
    Fin,
    /// The peer has reset the connection.
    Reset,
}

/// All bytes that a peer has sent, and how the stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The end of the stream after these bytes.
    pub ending: Ending,
}

impl Stream {
    /// Connects to `address`.
    ///
    /// # Errors
    /// When the connection is refused or not established within `limit`.
    pub fn connect(address: &Address, limit: Duration) -> Result<Self> {
        let socket = Socket::new(address.domain(), Type::STREAM, None)
            .doing(|| format!("make a socket for {address}"))?;
        let to = address.to_socket_address()?;
        match address {
            Address::Tcp(_) => socket.connect_timeout(&to, limit),
            Address::Unix(_) | Address::Abstract(_) => {
                // A connect to a full UNIX backlog waits as long as a send would.
                socket.set_write_timeout(Some(limit)).and_then(|()| socket.connect(&to))
            }
        }
        .doing(|| format!("connect to {address}"))?;
        Self::from_socket(socket)
    }

    /// Takes over a connected socket.
    ///
    /// # Errors
    /// When it cannot be made blocking.
    pub fn from_socket(socket: Socket) -> Result<Self> {
        socket.set_nonblocking(false).doing(|| "make a socket blocking".to_owned())?;
        Ok(Self { socket })
    }

    /// Two UNIX sockets connected to each other.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn pair() -> Result<(Self, Self)> {
        let (one, other) = Socket::pair(socket2::Domain::UNIX, Type::STREAM, None)
            .doing(|| "make a pair of sockets".to_owned())?;
        Ok((Self { socket: one }, Self { socket: other }))
    }

    /// Its options.
    pub fn options(&self) -> SockRef<'_> {
        SockRef::from(&self.socket)
    }

    /// The socket itself.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// When the peer is gone or does not accept them within `limit`.
    pub fn send(&self, bytes: &[u8], limit: Duration) -> Result<()> {
        let deadline = Deadline::after(limit);
        let mut rest = bytes;
        while !rest.is_empty() {
            let waiting_for = || format!("space to send the last {} bytes", rest.len());
            let left = deadline.left(waiting_for)?;
            self.socket.set_write_timeout(Some(left)).doing(|| "set a timeout".to_owned())?;
            match (&self.socket).write(rest) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(error) if is_retryable(error.kind()) => {}
                Err(error) => return Err(error).doing(|| "send".to_owned()),
            }
        }
        Ok(())
    }

    /// Sends as many bytes as the socket accepts without blocking and returns their number, 0 if none.
    ///
    /// # Errors
    /// When the peer is gone.
    pub fn send_nonblocking(&self, bytes: &[u8]) -> Result<usize> {
        match self.socket.send_with_flags(bytes, flag(rustix::net::SendFlags::DONTWAIT.bits())) {
            Ok(sent) => Ok(sent),
            Err(error) if is_retryable(error.kind()) => Ok(0),
            Err(error) => Err(error).doing(|| "send".to_owned()),
        }
    }

    /// Whether the stream is writable within `limit`.
    ///
    /// # Errors
    /// When the system call fails.
    pub fn is_writable_within(&self, limit: Duration) -> Result<bool> {
        super::ready(self.as_fd(), PollFlags::OUT, limit)
    }

    /// Whether bytes or the end of the stream can be read within `limit`.
    ///
    /// # Errors
    /// When the system call fails.
    pub fn is_readable_within(&self, limit: Duration) -> Result<bool> {
        super::ready(self.as_fd(), PollFlags::IN, limit)
    }

    /// Reads exactly `count` bytes.
    ///
    /// # Errors
    /// When the stream ends before, or they do not come within `limit`.
    pub fn receive(&self, count: usize, limit: Duration) -> Result<Vec<u8>> {
        let deadline = Deadline::after(limit);
        let mut bytes = vec![0; count];
        let mut have = 0;
        while have < count {
            let room = bytes.get_mut(have..).unwrap_or_default();
            match self.read_some(room, deadline, have)? {
                Ok(read) => have += read,
                Err(ending) => {
                    return Err(Failure::Unexpected(format!(
                        "the stream ended by {ending:?} after {have} of {count} bytes: {:?}",
                        String::from_utf8_lossy(bytes.get(..have.min(200)).unwrap_or_default()),
                    )));
                }
            }
        }
        Ok(bytes)
    }

    /// Reads to the end of the stream.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub fn receive_to_end(&self, limit: Duration) -> Result<Received> {
        let deadline = Deadline::after(limit);
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match self.read_some(&mut buffer, deadline, bytes.len())? {
                Ok(read) => bytes.extend_from_slice(buffer.get(..read).unwrap_or_default()),
                Err(ending) => return Ok(Received { bytes, ending }),
            }
        }
    }

    /// Reads to the end of the stream, discards the bytes and returns their number.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub fn drain(&self, limit: Duration) -> Result<usize> {
        let deadline = Deadline::after(limit);
        let mut total = 0;
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read) = self.read_some(&mut buffer, deadline, total)? {
            total += read;
        }
        Ok(total)
    }

    /// Returns how the stream ended within `limit`, or `None` if bytes arrived or nothing did. Consumes no bytes.
    ///
    /// # Errors
    /// When the system call fails.
    pub fn ended_within(&self, limit: Duration) -> Result<Option<Ending>> {
        self.socket.set_read_timeout(Some(limit)).doing(|| "set a timeout".to_owned())?;
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match self.socket.peek(&mut byte) {
            Ok(0) => Ok(Some(Ending::Fin)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(Some(Ending::Reset)),
            Err(error) if is_retryable(error.kind()) => Ok(None),
            Err(error) => Err(error).doing(|| "peek".to_owned()),
        }
    }

    /// Shuts down the sending side.
    ///
    /// # Errors
    /// When the connection is already gone.
    pub fn finish(&self) -> Result<()> {
        self.socket.shutdown(Shutdown::Write).doing(|| "shut down the sending side".to_owned())
    }

    /// Ends the connection by a reset (TCP only).
    ///
    /// # Errors
    /// When the option cannot be set.
    pub fn reset(self) -> Result<()> {
        self.socket.set_linger(Some(Duration::ZERO)).doing(|| "set SO_LINGER".to_owned())
    }

    /// Reads into `buffer` and returns the number of bytes, or how the stream ended.
    fn read_some(
        &self,
        buffer: &mut [u8],
        deadline: Deadline,
        have: usize,
    ) -> Result<std::result::Result<usize, Ending>> {
        loop {
            let left = deadline.left(|| format!("more bytes or the end of the stream after {have} bytes"))?;
            self.socket.set_read_timeout(Some(left)).doing(|| "set a timeout".to_owned())?;
            match (&self.socket).read(buffer) {
                Ok(0) => return Ok(Err(Ending::Fin)),
                Ok(read) => return Ok(Ok(read)),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Err(Ending::Reset)),
                Err(error) if is_retryable(error.kind()) => {}
                Err(error) => return Err(error).doing(|| "receive".to_owned()),
            }
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn is_retryable(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn flag(bits: u32) -> i32 {
    i32::try_from(bits).unwrap_or_default()
}
