//! A descriptor that travels with bytes, for the tests.

use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Sends bytes, with a descriptor attached to the first of them.
pub(crate) fn send_with_descriptor(socket: &UnixStream, bytes: &[u8]) {
    let file = File::open("/dev/null").unwrap();
    let sent = send_with(socket, bytes, &[file.as_fd()], SendFlags::empty()).unwrap();
    assert_eq!(sent, bytes.len());
}

/// Sends bytes with these descriptors and flags.
pub(crate) fn send_with(
    socket: &UnixStream,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)
}
