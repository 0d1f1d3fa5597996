//! What travels with the bytes between UNIX sockets: descriptors and credentials (`SCM_RIGHTS`, `SCM_CREDENTIALS`, unix(7)).
//!
//! A read with room for control messages receives them. Without room the kernel closes descriptors within the read, which may
//! wait (see `dormouse_sys::closer`), so each read of a UNIX socket has room. A splice closes them, too, so a bulk flow from a
//! UNIX socket is spliced only as far as the queue is known to hold none.

use std::os::fd::{BorrowedFd, OwnedFd};

use dormouse_sys::credentials::Credentials;
use dormouse_sys::message::{self, receive, send};
use dormouse_sys::queued_fds::QueuedFds;
use rustix::io::{Errno, ioctl_fionread};
use rustix::net::{RecvFlags, recv};

use crate::passed_fds::{self, PassedFds};

/// The result of one read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    /// The number of bytes; zero at the end of the stream.
    pub(crate) bytes: usize,
    /// The read may have ended before the socket was empty, although the buffer had room left.
    pub(crate) ended_early: bool,
    /// The credentials of the sender, if the socket asks for them.
    pub(crate) credentials: Option<Credentials>,
}

/// Reads bytes, and what travels with them.
pub(crate) fn receive_message(
    source: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut PassedFds,
) -> Result<Received, Errno> {
    let limit = if passed_fds::has_room_for_any() { None } else { Some(readable_bytes(source)?) };
    let room = limit.map_or(buffer.len(), |limit| limit.min(buffer.len()));
    let buffer = buffer.get_mut(..room).unwrap_or_default();
    let mut received = Vec::new();
    let message = receive(source, buffer, &mut received);
    *fds = PassedFds::new(received);
    let message::Received { bytes, had_control, truncated, credentials } = message?;
    if truncated {
        // The buffer has room for all descriptors, so the process has reached its limit, and the kernel has dropped
        // them.
        return Err(Errno::MFILE);
    }
    // The kernel ends a read after bytes that carry a control message.
    Ok(Received { bytes, ended_early: had_control || limit.is_some(), credentials })
}

/// Returns how many bytes may be read when there is not room for the descriptors of any message. Zero at the end of stream.
///
/// # Errors
/// `MFILE` if there is not room for what has arrived, `AGAIN` if nothing has.
fn readable_bytes(source: BorrowedFd<'_>) -> Result<usize, Errno> {
    let waiting = |socket| ioctl_fionread(socket).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if waiting(source)? == 0 {
        let (arrived, _) = recv(source, &mut [0; 1], RecvFlags::PEEK)?;
        if arrived == 0 {
            return Ok(0);
        }
    }
    // What arrives from here on may be counted without its bytes, which is safe.
    let bytes = waiting(source)?;
    // Where the kernel does not tell the number, half of the limit is for sessions that bring none.
    let has_room = match QueuedFds::of(source).and_then(|queue| queue.count()) {
        Some(count) => passed_fds::has_room_for(usize::try_from(count).unwrap_or(usize::MAX)),
        None => !passed_fds::are_scarce(),
    };
    if has_room { Ok(bytes) } else { Err(Errno::MFILE) }
}

/// Reads bytes only. Descriptors that travel with them are given up.
pub(crate) fn receive_bytes(source: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Received, Errno> {
    let received = receive_message(source, buffer, &mut PassedFds::default())?;
    Ok(Received { credentials: None, ..received })
}

/// Writes bytes, with what travels with them attached to the first of them. Without the permission to name the process of
/// the sender, or if that has ended, the credentials are sent with this process.
pub(crate) fn send_message(
    sink: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[OwnedFd],
    credentials: Option<Credentials>,
) -> Result<usize, Errno> {
    match (send(sink, bytes, fds, credentials), credentials) {
        (Err(Errno::PERM | Errno::SRCH), Some(Credentials { uid, gid, pid: Some(_) })) => {
            send(sink, bytes, fds, Some(Credentials { uid, gid, pid: None }))
        }
        (done, _) => done,
    }
}

/// Limits splices from a UNIX socket to bytes that carry no descriptor.
#[derive(Debug)]
pub(crate) struct SpliceGuard(QueuedFds);

impl SpliceGuard {
    /// Returns `None` if the kernel does not report the count (before 5.5, or without /proc).
    pub(crate) fn new(source: BorrowedFd<'_>) -> Option<Self> {
        let queue = QueuedFds::of(source)?;
        queue.count()?;
        Some(Self(queue))
    }

    /// Returns whether the queue holds no descriptors now.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.count() == Some(0)
    }

    /// Returns how many bytes may be spliced, or `None` if some of them may carry descriptors.
    ///
    /// The bytes are counted before the descriptors. A descriptor that arrives in between is counted without its bytes,
    /// which is safe; the other order would miss it.
    pub(crate) fn spliceable_bytes(&self, source: BorrowedFd<'_>) -> Option<usize> {
        let bytes = ioctl_fionread(source).ok()?;
        if self.0.count()? == 0 { usize::try_from(bytes).ok() } else { None }
    }
}
