//! Descriptors that travel with the bytes between UNIX sockets (`SCM_RIGHTS`, unix(7)).
//!
//! A read with room for control messages receives them. A splice closes them silently, so a bulk flow between UNIX
//! sockets is spliced only as far as the queue is known to hold no descriptor.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, ioctl_fionread, pread};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::stream::Stream;

/// The most descriptors that the kernel sends in one message (`SCM_MAX_FD`).
const MAX_FDS: usize = 253;
/// Room for the control messages that an inherited listener may have enabled (`PassCredentials=`, `PassSecurity=`),
/// which come first.
const OTHER_SPACE: usize = cmsg_space!(ScmCredentials(1)) + 512;
const SPACE: usize = cmsg_space!(ScmRights(MAX_FDS)) + OTHER_SPACE;

/// The result of one read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    /// The number of bytes; zero at the end of the stream.
    pub(crate) bytes: usize,
    /// The read may have ended before the socket was empty, although the buffer had room left.
    pub(crate) ended_early: bool,
}

/// Reads bytes and the descriptors that travel with them.
pub(crate) fn receive_with_fds(
    source: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> Result<Received, Errno> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(source, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if message.flags.contains(ReturnFlags::CTRUNC) {
        // The buffer has room for all descriptors, so the process has reached its limit, and the kernel has dropped
        // them.
        return Err(Errno::MFILE);
    }
    let mut ended_early = false;
    for ancillary in control.drain() {
        // The kernel ends a read after bytes that carry a control message.
        ended_early = true;
        if let RecvAncillaryMessage::ScmRights(received) = ancillary {
            fds.extend(received);
        }
    }
    Ok(Received { bytes: message.bytes, ended_early })
}

/// Reads bytes only: the kernel closes the descriptors that travel with them.
pub(crate) fn receive(source: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Received, Errno> {
    let mut control = RecvAncillaryBuffer::default();
    let message = recvmsg(source, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::empty())?;
    // A truncated control message ended the read after its bytes.
    Ok(Received { bytes: message.bytes, ended_early: message.flags.contains(ReturnFlags::CTRUNC) })
}

/// Writes bytes, with the descriptors attached to the first of them.
pub(crate) fn send_with_fds(sink: BorrowedFd<'_>, bytes: &[u8], fds: &[OwnedFd]) -> Result<usize, Errno> {
    let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(Errno::TOOMANYREFS);
    }
    sendmsg(sink, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
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
