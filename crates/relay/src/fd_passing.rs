//! What travels with the bytes between UNIX sockets: descriptors and credentials (`SCM_RIGHTS`, `SCM_CREDENTIALS`, unix(7)).
//!
//! A read with room for control messages receives them. A splice closes descriptors silently, so a bulk flow between UNIX
//! sockets is spliced only as far as the queue is known to hold none.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use dormouse_sys::credentials::Credentials;
use dormouse_sys::message::{self, receive, send};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, ioctl_fionread, pread};
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, recvmsg};

use crate::stream::Stream;

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
    fds: &mut Vec<OwnedFd>,
) -> Result<Received, Errno> {
    let message::Received { bytes, had_control, truncated, credentials } = receive(source, buffer, fds)?;
    if truncated {
        // The buffer has room for all descriptors, so the process has reached its limit, and the kernel has dropped
        // them.
        return Err(Errno::MFILE);
    }
    // The kernel ends a read after bytes that carry a control message.
    Ok(Received { bytes, ended_early: had_control, credentials })
}

/// Reads bytes only: the kernel closes the descriptors that travel with them.
pub(crate) fn receive_bytes(source: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Received, Errno> {
    let mut control = RecvAncillaryBuffer::default();
    let buffer = &mut [std::io::IoSliceMut::new(buffer)];
    let message = recvmsg(source, buffer, &mut control, RecvFlags::empty())?;
    // A truncated control message ended the read after its bytes.
    let ended_early = message.flags.contains(ReturnFlags::CTRUNC);
    Ok(Received { bytes: message.bytes, ended_early, credentials: None })
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
pub(crate) struct SpliceGuard {
    /// The kernel's fdinfo of the socket, which counts the descriptors in its queue.
    fdinfo: OwnedFd,
}

impl SpliceGuard {
    /// Returns `None` if the kernel does not report the count (before 5.5, or without /proc).
    pub(crate) fn new(source: &Stream) -> Option<Self> {
        let path = format!("/proc/self/fdinfo/{}", source.socket()?.as_raw_fd());
        let fdinfo = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let guard = Self { fdinfo };
        guard.queued_fds()?;
        Some(guard)
    }

    /// Returns how many bytes may be spliced, or `None` if some of them may carry descriptors.
    ///
    /// The bytes are counted before the descriptors. A descriptor that arrives in between is counted without its bytes,
    /// which is safe; the other order would miss it.
    pub(crate) fn spliceable_bytes(&self, source: &Stream) -> Option<usize> {
        let bytes = ioctl_fionread(source.socket()?).ok()?;
        if self.queued_fds()? == 0 { usize::try_from(bytes).ok() } else { None }
    }

    /// Returns the number of descriptors in the socket's queue.
    fn queued_fds(&self) -> Option<u32> {
        let mut text = [0; 512];
        let length = pread(&self.fdinfo, &mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..length)?).ok()?;
        text.lines().find_map(|line| line.strip_prefix("scm_fds:"))?.trim().parse().ok()
    }
}
