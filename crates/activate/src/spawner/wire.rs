//! Requests as messages.
//!
//! A message is one byte and descriptors. The first descriptor is a memory file with the request as JSON, because a
//! program may have more arguments than a message can hold. The second one is a socket for the reports.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{Errno, pread};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;

/// The largest number of descriptors of a message: the request, the socket for reports, and those of a program.
const MAX_DESCRIPTORS: usize = 4;
/// The largest request, in bytes: the list of the programs of some 100 000 services.
const MAX_BYTES: usize = 64 << 20;

/// A byte that dormouse writes to the socket for reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signalled {
    /// SIGTERM for the process group of the program.
    TerminateGroup,
    /// SIGKILL for the process group of the program.
    KillGroup,
    /// SIGKILL for the program.
    Kill,
}

impl Signalled {
    const ALL: [Self; 3] = [Self::TerminateGroup, Self::KillGroup, Self::Kill];

    pub(super) fn to_byte(self) -> u8 {
        match self {
            Self::TerminateGroup => b't',
            Self::KillGroup => b'k',
            Self::Kill => b'K',
        }
    }

    /// Returns what a byte means.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.to_byte() == byte)
    }
}

/// A message.
#[derive(Debug)]
pub(crate) enum Received {
    /// Its descriptors.
    Request(Vec<OwnedFd>),
    /// Dormouse has ended.
    End,
}

/// Sends a request with these descriptors. A spawner that does not read is an error, not a wait.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    request: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut file = File::from(memfd_create("request", MemfdFlags::CLOEXEC)?);
    let text = serde_json::to_vec(request)?;
    if text.len() > MAX_BYTES {
        return Err(Errno::TOOBIG.into());
    }
    file.write_all(&text)?;
    let all = [&[file.as_fd()], descriptors].concat();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&all));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match sendmsg(socket, &[IoSlice::new(b"r")], &mut control, flags) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Receives a message.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> Result<Received, Errno> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for ancillary in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = ancillary {
            descriptors.extend(received);
        }
    }
    Ok(if message.bytes == 0 { Received::End } else { Received::Request(descriptors) })
}

/// Reads a request from its memory file, up to the largest size. `None` if it cannot be read.
pub(crate) fn read_request(file: &OwnedFd) -> Option<Vec<u8>> {
    let length = usize::try_from(rustix::fs::fstat(file).ok()?.st_size).ok()?;
    let mut bytes = vec![0; length.min(MAX_BYTES)];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match pread(file, rest, u64::try_from(filled).ok()?) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    bytes.truncate(filled);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn a_request_arrives_with_its_descriptors() {
        let (near, far) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let text = "x".repeat(100_000);
        send(near.as_fd(), &text, &[near.as_fd(), far.as_fd()]).unwrap();
        let Received::Request(descriptors) = receive(far.as_fd()).unwrap() else { panic!("no request") };
        assert_eq!(descriptors.len(), 3);
        assert_eq!(read_request(&descriptors[0]).unwrap(), serde_json::to_vec(&text).unwrap());
        drop((near, descriptors));
        assert!(matches!(receive(far.as_fd()), Ok(Received::End)));
    }

    #[test]
    fn a_request_that_is_too_large_is_an_error() {
        let (near, _far) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let error = send(near.as_fd(), &"x".repeat(MAX_BYTES), &[]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::TOOBIG.raw_os_error()));
    }

    #[test]
    fn bytes_mean_signals() {
        for one in Signalled::ALL {
            assert_eq!(Signalled::from_byte(one.to_byte()), Some(one));
        }
        assert_eq!(Signalled::from_byte(b'x'), None);
    }
}
