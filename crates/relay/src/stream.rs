//! One connected stream socket in the event loop, and what is known of its readiness.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::Duration;

use dormouse_sys::watch::watch;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, recv, sockopt};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::spares::{self, Parting};

/// A connected, non-blocking stream socket of any family.
///
/// Readiness is edge-triggered: a flag says "maybe", is set by an event, and cleared by a short read or by EAGAIN.
/// Only readability is watched until a write blocks, because watching writability costs wake-ups.
#[derive(Debug)]
pub struct Stream {
    /// `None` only while it is registered anew.
    fd: Option<AsyncFd<OwnedFd>>,
    watched: Watched,
    /// What kind of socket it is.
    pub(crate) kind: Kind,
    acknowledges: Acknowledges,
    /// Another session may have the socket after this one: it has the options of all sockets of this family.
    reusable: Option<AddressFamily>,
    /// There may be something to read.
    pub(crate) readable: bool,
    /// There may be room to write.
    pub(crate) writable: bool,
    /// Both halves are closed: by a reset, by the peer's close (UNIX), or by both ends of stream (TCP).
    pub(crate) hung_up: bool,
}

/// What a socket can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A UNIX socket: descriptors may travel with the bytes.
    Unix,
    /// Of another family: bytes only.
    Plain,
}

/// When the kernel acknowledges what arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acknowledges {
    Promptly,
    Later,
}

/// Which events wake the task, from a look at them to the next.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wakes {
    read: bool,
    write: bool,
}

/// What the event loop looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watched {
    Readable,
    Both,
}

impl Stream {
    /// What a socket is watched for while it has room. Urgent data is not passed on, but ends reads.
    const READING: Interest = Interest::READABLE.add(Interest::PRIORITY);
    /// The same while it is waited for its room, or its connection.
    pub const BOTH: Interest = Self::READING.add(Interest::WRITABLE);

    /// Takes a connected, non-blocking socket. `readable`: whether something is already known to wait in it.
    ///
    /// # Errors
    /// When the event loop cannot watch it (a limit of the system).
    pub fn new(socket: OwnedFd, kind: Kind, readable: bool) -> io::Result<Self> {
        let fd = watch(socket, Self::READING)?;
        Ok(Self {
            fd: Some(fd),
            watched: Watched::Readable,
            kind,
            acknowledges: Acknowledges::Promptly,
            reusable: None,
            readable,
            writable: true,
            hung_up: false,
        })
    }

    /// Takes a socket whose connecting was awaited through this registration, for [`Self::BOTH`].
    pub fn from_connected(fd: AsyncFd<OwnedFd>, kind: Kind) -> Self {
        Self {
            fd: Some(fd),
            watched: Watched::Both,
            kind,
            acknowledges: Acknowledges::Promptly,
            reusable: None,
            readable: false,
            writable: true,
            hung_up: false,
        }
    }

    /// Says that this TCP socket was told to delay acknowledgements (`TCP_QUICKACK` off), so that the handshake's last
    /// one travels with the first bytes. From the first write on they are prompt again: a peer that writes twice and
    /// waits in between (Nagle's algorithm) must not wait for us.
    #[must_use]
    pub fn with_delayed_acknowledgement(mut self, delayed: bool) -> Self {
        self.acknowledges = if delayed { Acknowledges::Later } else { Acknowledges::Promptly };
        self
    }

    /// Says that the socket has the options of all sockets that come from [`spares::lend`] for this family: others may
    /// have it when its connection is over.
    #[must_use]
    pub fn reusable(mut self, family: Option<AddressFamily>) -> Self {
        self.reusable = family;
        self
    }

    /// To be called after each write.
    pub(crate) fn written(&mut self) {
        if self.acknowledges == Acknowledges::Later {
            self.acknowledges = Acknowledges::Promptly;
            if let Some(socket) = self.socket() {
                // Where it cannot be set, the kernel finds the right mode after a while.
                let _ = sockopt::set_tcp_quickack(socket, true);
            }
        }
    }

    /// The socket, where it is not just being registered anew.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(|fd| fd.get_ref().as_fd())
    }

    /// What kind of socket it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Waits until there is something to read; false if the peer left first, or ended its stream without a word.
    pub async fn speaks(&mut self) -> bool {
        std::future::poll_fn(|cx| self.poll_speaks(cx)).await
    }

    fn poll_speaks(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if self.poll_events(cx, true).is_err() {
                return Poll::Ready(false);
            }
            let Some(socket) = self.socket() else { return Poll::Ready(false) };
            match recv(socket, &mut [0; 1], RecvFlags::PEEK) {
                Ok((said, _)) => return Poll::Ready(said > 0),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.readable => self.readable = false,
                Err(Errno::AGAIN) => return Poll::Pending,
                Err(_) => return Poll::Ready(false),
            }
        }
    }

    /// Takes up what the event loop knows, and has the task woken when it learns more.
    ///
    /// `watch_hang_up`: also look for the peer's disappearance, which readability alone does not show once the
    /// stream ended or while nothing is read because the other side is stuck.
    pub(crate) fn poll_events(&mut self, cx: &mut Context<'_>, watch_hang_up: bool) -> io::Result<Wakes> {
        let mut wakes = Wakes::default();
        if !self.writable {
            self.watch_writable()?;
        }
        let Some(fd) = &self.fd else { return Err(Errno::BADF.into()) };
        // What is found once is looked for again, so that the task need not look anew once it has read everything. An
        // end of stream is found for ever.
        let looks = if self.readable { 0 } else { 2 };
        for _ in 0..looks {
            let Poll::Ready(guard) = fd.poll_read_ready(cx) else {
                wakes.read = true;
                break;
            };
            self.readable = true;
            guard?.clear_ready();
        }
        while !self.hung_up && (watch_hang_up || !self.writable) {
            let Poll::Ready(guard) = fd.poll_write_ready(cx) else {
                wakes.write = true;
                break;
            };
            let mut guard = guard?;
            self.hung_up = guard.ready().is_write_closed();
            self.writable = true;
            guard.clear_ready();
        }
        Ok(wakes)
    }

    /// Whether all that there is to wait for is among these.
    pub(crate) fn sleeps_well(&self, wakes: Wakes, watch_hang_up: bool) -> bool {
        let awaits_write = !self.hung_up && (watch_hang_up || !self.writable);
        (self.readable || wakes.read) && (!awaits_write || wakes.write)
    }

    /// Waits until the peer is known to have left without anything to deliver: a reset, a UNIX socket's close, or
    /// elsewhere its end of stream before its first byte. A peer that said something and then half-closed still waits for its answer, and one that said
    /// something and closed still wants it delivered; the two look the same.
    pub async fn departed(&mut self) {
        std::future::poll_fn(|cx| self.poll_departed(cx)).await;
    }

    fn poll_departed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.poll_events(cx, true).is_err() {
                // Not watchable any more; what comes next will meet the reason.
                return Poll::Ready(());
            }
            let Some(socket) = self.socket() else { return Poll::Ready(()) };
            match recv(socket, &mut [0; 1], RecvFlags::PEEK) {
                // An end of stream that is not a close (which shows as a hang-up here) may come from a listener.
                Ok((0, _)) if self.kind == Kind::Unix && !self.hung_up => return Poll::Pending,
                Ok((0, _)) => return Poll::Ready(()),
                // Something is there to deliver. A later reset shows as a hang-up.
                Ok(_) if self.hung_up => return self.take_error().map_or(Poll::Pending, |_| Poll::Ready(())),
                Err(Errno::INTR) => {}
                // Only now, with the readiness taken back, will the next byte wake us.
                Err(Errno::AGAIN) if self.readable => self.readable = false,
                Ok(_) | Err(Errno::AGAIN) => return Poll::Pending,
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Whether a read may end before the socket is empty because there is or was urgent data in it (also true when the
    /// peer has ended its stream). Asks the event loop's memory and not the kernel.
    pub(crate) fn has_mark(&self) -> bool {
        self.fd.as_ref().is_some_and(|fd| fd.try_io(Interest::PRIORITY, |_| Ok(())).is_ok())
    }

    fn watch_writable(&mut self) -> io::Result<()> {
        if self.watched == Watched::Both {
            return Ok(());
        }
        if let Some(fd) = self.fd.take() {
            self.fd = Some(watch(fd.into_inner(), Self::BOTH)?);
            self.watched = Watched::Both;
        }
        Ok(())
    }

    /// The error that the kernel keeps for this socket, a reset for example; asking clears it.
    pub(crate) fn take_error(&self) -> Option<Errno> {
        sockopt::socket_error(self.socket()?).ok()?.err()
    }

    /// Ends the connection, which has nothing more to say.
    pub(crate) fn part(&mut self, parting: Parting) {
        match (self.reusable, parting) {
            (Some(family), _) => {
                if let Some(fd) = self.fd.take() {
                    spares::part(fd.into_inner(), family, parting);
                }
            }
            (None, Parting::Reset) => self.reset_on_close(),
            (None, Parting::Orderly) => {}
        }
    }

    /// Makes the coming close a reset where the family has one.
    pub(crate) fn reset_on_close(&self) {
        if let Some(socket) = self.socket() {
            reset_on_close(socket);
        }
    }
}

/// Makes the coming close of this socket a reset (`SO_LINGER` of zero, socket(7)); families without resets ignore it.
pub fn reset_on_close(socket: impl AsFd) {
    // A socket that refuses closes as usual: there is nothing better to be done.
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}
