//! Descriptors that travel with the bytes between UNIX sockets (`SCM_RIGHTS`, unix(7)).
//!
//! A read that asks for them gets them; a splice silently closes them. So a bulk flow between UNIX sockets is spliced
//! only as far as it is known that none is there.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, ioctl_fionread, pread};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::stream::Stream;
use crate::transfer::Taken;

/// The kernel sends no more at once (`SCM_MAX_FD`).
const MOST: usize = 253;
/// What else a listener that was passed in may have asked for (`PassCredentials=`, `PassSecurity=`), which comes first.
const OTHERS: usize = cmsg_space!(ScmCredentials(1)) + 512;
const SPACE: usize = cmsg_space!(ScmRights(MOST)) + OTHERS;

/// Reads bytes and the descriptors that travel with them.
pub(crate) fn receive(
    source: BorrowedFd<'_>,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> Result<Taken, Errno> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(source, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if message.flags.contains(ReturnFlags::CTRUNC) {
        // There was room for all: the process has no descriptor left for them, and they are gone.
        return Err(Errno::MFILE);
    }
    let mut ends_early = false;
    for ancillary in control.drain() {
        // Whatever travels with bytes ends the read behind them.
        ends_early = true;
        if let RecvAncillaryMessage::ScmRights(received) = ancillary {
            descriptors.extend(received);
        }
    }
    Ok(Taken { bytes: message.bytes, ends_early })
}

/// Reads bytes alone: the kernel closes the descriptors that travel with them.
pub(crate) fn receive_bytes(source: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Taken, Errno> {
    let mut control = RecvAncillaryBuffer::default();
    let message = recvmsg(source, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::empty())?;
    // Something travelled with the bytes, and ended the read behind them.
    Ok(Taken { bytes: message.bytes, ends_early: message.flags.contains(ReturnFlags::CTRUNC) })
}

/// Writes bytes with descriptors at the first of them.
pub(crate) fn post(sink: BorrowedFd<'_>, bytes: &[u8], descriptors: &[OwnedFd]) -> Result<usize, Errno> {
    use std::os::fd::AsFd;
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(Errno::TOOMANYREFS);
    }
    sendmsg(sink, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
}

/// Knows how many bytes of a UNIX socket are free of descriptors.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The kernel's account of the socket: how many descriptors are queued in it.
    account: OwnedFd,
}

impl Gate {
    /// `None` where the kernel tells nothing (before 5.5, or without /proc).
    pub(crate) fn new(source: &Stream) -> Option<Self> {
        let path = format!("/proc/self/fdinfo/{}", source.socket()?.as_raw_fd());
        let account = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let gate = Self { account };
        gate.queued()?;
        Some(gate)
    }

    /// How many bytes may be spliced; `None` while that is not known. The bytes are counted before the descriptors:
    /// those that come in between are counted although they are not among these bytes, never the other way round.
    pub(crate) fn open_for(&self, source: &Stream) -> Option<usize> {
        let bytes = ioctl_fionread(source.socket()?).ok()?;
        if self.queued()? == 0 { usize::try_from(bytes).ok() } else { None }
    }

    /// How many descriptors are queued in the socket.
    fn queued(&self) -> Option<u32> {
        let mut text = [0; 512];
        let length = pread(&self.account, &mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..length)?).ok()?;
        text.lines().find_map(|line| line.strip_prefix("scm_fds:"))?.trim().parse().ok()
    }
}
