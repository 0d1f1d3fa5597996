//! A connected stream socket in the event loop, with its readiness.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use dormouse_sys::credentials::{Credentials, peer_credentials};
use dormouse_sys::event_loop::register;
use dormouse_sys::pass_rights::pass_rights;
use dormouse_sys::socket_fd::{CloseBy, SocketFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, recv, sockopt};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::close::{CloseMode, reset_on_close};
use crate::fd_passing::receive_bytes;
use crate::message_credentials::MessageCredentials;
use crate::socket_reuse;

/// A connected, non-blocking stream socket of any family.
///
/// Readiness is edge-triggered. A set flag means that the socket may be ready: an event sets the flag, and a short read
/// or EAGAIN clears it. Only readability is watched until a write blocks, because watching writability causes wake-ups.
#[derive(Debug)]
pub struct Stream {
    /// `None` only during a new registration.
    fd: Option<AsyncFd<SocketFd>>,
    registration: Registration,
    /// Whether the socket can carry descriptors.
    pub(crate) kind: StreamKind,
    /// The credentials that the peer gets with the bytes.
    pub(crate) message_credentials: MessageCredentials,
    pub(crate) incoming_fds: IncomingFds,
    ack_mode: AckMode,
    /// The family whose standard options the socket has, if a later session may reuse the socket.
    reusable: Option<AddressFamily>,
    /// The socket may have data to read.
    pub(crate) readable: bool,
    /// The socket may have room to write.
    pub(crate) writable: bool,
    /// Both halves are closed: by a reset, by the peer's close (UNIX), or by both ends of stream (TCP).
    pub(crate) hung_up: bool,
}

/// What a stream socket can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// A UNIX socket: descriptors may travel with the bytes.
    Unix,
    /// A socket of another family: bytes only.
    Other,
}

/// Whether descriptors come with the bytes of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IncomingFds {
    /// None can come, and none wait.
    None,
    /// The kernel lets no further ones come. Some may wait.
    Refused,
    /// They may come at any time.
    Possible,
}

impl IncomingFds {
    fn of(kind: StreamKind) -> Self {
        match kind {
            StreamKind::Unix => Self::Possible,
            StreamKind::Other => Self::None,
        }
    }
}

/// When the kernel acknowledges received segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AckMode {
    Prompt,
    Delayed,
}

/// The events for which the task's waker is registered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wakeups {
    read: bool,
    write: bool,
}

/// The events for which the socket is registered in the event loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Registration {
    Read,
    ReadWrite,
}

impl Stream {
    /// The events of a socket that has room. Urgent data is not relayed, but ends reads.
    const READ: Interest = Interest::READABLE.add(Interest::PRIORITY);
    /// The events of a socket that waits for room or for its connection.
    pub const READ_WRITE: Interest = Self::READ.add(Interest::WRITABLE);

    /// Registers a connected, non-blocking socket. `readable`: data is known to wait in the socket.
    ///
    /// # Errors
    /// When the event loop cannot register the socket (a limit of the system).
    pub fn new(socket: OwnedFd, kind: StreamKind, readable: bool) -> io::Result<Self> {
        Self::of(socket_fd(socket, kind), readable)
    }

    /// The same for a socket from [`socket_fd`].
    ///
    /// # Errors
    /// When the event loop cannot register the socket (a limit of the system).
    pub fn of(socket: SocketFd, readable: bool) -> io::Result<Self> {
        let kind = kind_of(&socket);
        let fd = register(socket, Self::READ)?;
        Ok(Self {
            fd: Some(fd),
            registration: Registration::Read,
            kind,
            message_credentials: MessageCredentials::Own,
            incoming_fds: IncomingFds::of(kind),
            ack_mode: AckMode::Prompt,
            reusable: None,
            readable,
            writable: true,
            hung_up: false,
        })
    }

    /// Takes a socket that is registered for [`Self::READ_WRITE`] and whose connection has been established. See
    /// [`socket_fd`].
    pub fn from_connected(fd: AsyncFd<SocketFd>, kind: StreamKind) -> Self {
        Self {
            fd: Some(fd),
            registration: Registration::ReadWrite,
            kind,
            message_credentials: MessageCredentials::Own,
            incoming_fds: IncomingFds::of(kind),
            ack_mode: AckMode::Prompt,
            reusable: None,
            readable: false,
            writable: true,
            hung_up: false,
        }
    }

    /// Declares that this TCP socket delays acknowledgements (`TCP_QUICKACK` off), so that the last one of the
    /// handshake travels with the first bytes. The first write makes them prompt again: a peer that writes twice and
    /// waits in between (Nagle's algorithm) must not wait for a delayed acknowledgement.
    #[must_use]
    pub fn with_delayed_acks(mut self, delayed: bool) -> Self {
        self.ack_mode = if delayed { AckMode::Delayed } else { AckMode::Prompt };
        self
    }

    /// Declares that the socket has the options of all sockets that [`socket_reuse::take`] returns for this family, so
    /// that a later session may reuse the socket.
    #[must_use]
    pub fn reusable(mut self, family: Option<AddressFamily>) -> Self {
        self.reusable = family;
        self
    }

    /// Sets which credentials the peer of a UNIX socket gets with the bytes, and for `Passed` asks the kernel for those of
    /// the peer. Other sockets carry none.
    #[must_use]
    pub fn with_message_credentials(mut self, credentials: MessageCredentials) -> Self {
        if self.kind == StreamKind::Unix {
            self.message_credentials = credentials;
        }
        if let (MessageCredentials::Passed, Some(socket)) = (self.message_credentials, self.socket()) {
            // Without them, those of the peer's connection are used.
            let _ = sockopt::set_socket_passcred(socket, true);
        }
        self
    }

    /// Declares that another descriptor of the socket stays open. It decides about the close.
    #[must_use]
    pub fn as_duplicate(mut self) -> Self {
        self.set_input_ended();
        self
    }

    /// The close needs no look at what is unread: nothing is, and nothing more can arrive.
    pub(crate) fn set_input_ended(&mut self) {
        if let Some(fd) = &mut self.fd {
            fd.get_mut().set_input_ended();
        }
    }

    /// Makes the kernel refuse descriptors, which cannot be passed on. Older kernels cannot: there they are received and
    /// given up.
    pub(crate) fn refuse_fds(&mut self) {
        if let (StreamKind::Unix, Some(socket)) = (self.kind, self.socket()) {
            if pass_rights(socket, false).is_ok() {
                self.incoming_fds = IncomingFds::Refused;
            }
        }
    }

    /// Reads bytes once. Descriptors that come with them are given up.
    ///
    /// # Errors
    /// Those of recv(2).
    pub fn receive(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let socket = self.socket().ok_or(Errno::BADF)?;
        match self.kind {
            StreamKind::Unix => receive_bytes(socket, buffer).map(|received| received.bytes),
            StreamKind::Other => recv(socket, buffer, RecvFlags::empty()).map(|(bytes, _)| bytes),
        }
    }

    /// Returns the credentials of a message from this peer: those that came with it, or else those that the peer had when
    /// it connected.
    pub(crate) fn sender(&self, message: Option<Credentials>) -> Option<Credentials> {
        let known = message.filter(|credentials| credentials.pid.is_some());
        known.or_else(|| peer_credentials(self.socket()?).ok())
    }

    /// Ends the delay of acknowledgements. Every write calls this.
    pub(crate) fn restore_prompt_acks(&mut self) {
        if self.ack_mode == AckMode::Delayed {
            self.ack_mode = AckMode::Prompt;
            if let Some(socket) = self.socket() {
                // If the option is refused, the kernel finds the right mode after a while.
                let _ = sockopt::set_tcp_quickack(socket, true);
            }
        }
    }

    /// Returns the socket, or `None` after a failed registration and after the connection has ended.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(|fd| fd.get_ref().as_fd())
    }

    /// Returns what the socket can carry.
    pub fn kind(&self) -> StreamKind {
        self.kind
    }

    /// Collects new events, and registers the task's waker for further ones.
    ///
    /// `watch_hang_up`: also watch for the peer's close. Readability alone does not show it after the end of stream, or
    /// while nothing is read because the other side is blocked.
    pub(crate) fn poll_events(&mut self, cx: &mut Context<'_>, watch_hang_up: bool) -> io::Result<Wakeups> {
        let mut wakeups = Wakeups::default();
        if !self.writable {
            self.register_writable()?;
        }
        let Some(fd) = &self.fd else { return Err(Errno::BADF.into()) };
        // The second poll registers the waker, so that a task that reads everything can sleep without another poll. An
        // end of stream stays ready, so two polls are the limit.
        let polls = if self.readable { 0 } else { 2 };
        for _ in 0..polls {
            let Poll::Ready(guard) = fd.poll_read_ready(cx) else {
                wakeups.read = true;
                break;
            };
            self.readable = true;
            guard?.clear_ready();
        }
        while !self.hung_up && (watch_hang_up || !self.writable) {
            let Poll::Ready(guard) = fd.poll_write_ready(cx) else {
                wakeups.write = true;
                break;
            };
            let mut guard = guard?;
            self.hung_up = guard.ready().is_write_closed();
            self.writable = true;
            guard.clear_ready();
        }
        Ok(wakeups)
    }

    /// Returns whether the task may sleep: the waker is registered for each event that the stream waits for.
    pub(crate) fn may_sleep(&self, wakeups: Wakeups, watch_hang_up: bool) -> bool {
        let awaits_write = !self.hung_up && (watch_hang_up || !self.writable);
        (self.readable || wakeups.read) && (!awaits_write || wakeups.write)
    }

    /// Returns whether urgent data may end a read before the socket is empty. Also true after the peer's end of stream.
    /// Uses the readiness that the event loop has stored, without a system call.
    pub(crate) fn has_urgent_data(&self) -> bool {
        self.fd.as_ref().is_some_and(|fd| fd.try_io(Interest::PRIORITY, |_| Ok(())).is_ok())
    }

    fn register_writable(&mut self) -> io::Result<()> {
        if self.registration == Registration::ReadWrite {
            return Ok(());
        }
        if let Some(fd) = self.fd.take() {
            self.fd = Some(register(fd.into_inner(), Self::READ_WRITE)?);
            self.registration = Registration::ReadWrite;
        }
        Ok(())
    }

    /// Returns and clears the error that the kernel has stored for this socket, a reset for example.
    pub(crate) fn take_error(&self) -> Option<Errno> {
        sockopt::socket_error(self.socket()?).ok()?.err()
    }

    /// Ends the connection, over which nothing more is sent. A reusable socket is offered to the next session.
    pub(crate) fn close(&mut self, mode: CloseMode) {
        match (self.reusable, mode) {
            (Some(family), _) => {
                if let Some(fd) = self.fd.take() {
                    socket_reuse::release(fd.into_inner().into_inner(), family, mode);
                }
            }
            (None, CloseMode::Reset) => self.reset_on_close(),
            (None, CloseMode::Orderly) => {}
        }
    }

    /// Makes the next close a reset, for families that have one.
    pub(crate) fn reset_on_close(&self) {
        if let Some(socket) = self.socket() {
            reset_on_close(socket);
        }
    }
}

/// Returns the kind of a socket from [`socket_fd`].
pub fn kind_of(socket: &SocketFd) -> StreamKind {
    if socket.close_by() == CloseBy::Unread { StreamKind::Unix } else { StreamKind::Other }
}

/// Returns a connected socket that is closed without a wait (`dormouse_sys::closer`).
pub fn socket_fd(socket: OwnedFd, kind: StreamKind) -> SocketFd {
    match kind {
        StreamKind::Other => SocketFd::new(socket, CloseBy::ThisThread),
        StreamKind::Unix => {
            // An urgent byte that a read skips is closed by the kernel, with the descriptors that came with it. In the stream
            // it is received as any other byte.
            let _ = sockopt::set_socket_oobinline(&socket, true);
            SocketFd::new(socket, CloseBy::Unread)
        }
    }
}
