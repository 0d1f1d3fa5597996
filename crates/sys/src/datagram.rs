//! Datagrams of UNIX sockets together with their sender (`SCM_CREDENTIALS`, unix(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::sockopt;

use crate::credentials::Credentials;

/// Makes the kernel add the sender to each datagram that the socket receives (`SO_PASSCRED`).
///
/// # Errors
/// When the descriptor is not a socket.
pub fn pass_senders(socket: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_socket_passcred(socket, true)?)
}

/// Receives a datagram without waiting, and returns its length and its sender; `None` if the kernel did not add one. The
/// rest of a datagram that is longer than the buffer is lost. Descriptors in the datagram are closed.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] without a datagram, and the errors of recvmsg(2).
pub fn receive_from(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Option<Credentials>)> {
    /// Space for one control message with credentials. Without room for more the kernel closes passed descriptors.
    #[repr(C, align(8))]
    struct Control([u8; 32]);
    let mut control = Control([0; 32]);
    let mut bytes = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: a msghdr is integers and pointers, for which zero (null) is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut bytes;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>() as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the message refers to `buffer` and `control` with their lengths. Both live until the call returns.
    let length = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, flags) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    Ok((length, sender(&message)))
}

/// Returns the credentials in the control data of a received message.
fn sender(message: &libc::msghdr) -> Option<Credentials> {
    // SAFETY: the kernel has filled in the message, whose control data still lives. The macro returns null, or a header
    // that is inside of the data.
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: see above.
    let found = unsafe { header.as_ref() }?;
    if (found.cmsg_level, found.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) {
        return None;
    }
    // SAFETY: the data of this kind of control message is a ucred, which may be unaligned. Every bit pattern is a ucred.
    let found: libc::ucred = unsafe { libc::CMSG_DATA(header).cast::<libc::ucred>().read_unaligned() };
    let pid = u32::try_from(found.pid).ok().filter(|pid| *pid != 0);
    Some(Credentials { uid: found.uid, gid: found.gid, pid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::IoSlice;
    use std::io::Read;
    use std::mem::MaybeUninit;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    #[test]
    fn a_datagram_has_its_sender() {
        let (near, far) = UnixDatagram::pair().unwrap();
        pass_senders(&near).unwrap();
        let mut buffer = [0; 8];
        let error = receive_from(&near, &mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        far.send(b"READY=1 and more").unwrap();
        let (length, sender) = receive_from(&near, &mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1 ");
        let sender = sender.unwrap();
        assert_eq!(sender.pid, Some(std::process::id()));
        assert_eq!(sender.uid, rustix::process::getuid().as_raw());
        assert_eq!(sender.gid, rustix::process::getgid().as_raw());
    }

    #[test]
    fn passed_descriptors_are_closed() {
        let (near, far) = UnixDatagram::pair().unwrap();
        pass_senders(&near).unwrap();
        let (mut kept, passed) = UnixStream::pair().unwrap();
        let fds = [passed.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(&far, &[IoSlice::new(b"BARRIER=1")], &mut control, SendFlags::empty()).unwrap();
        drop(passed);
        let (length, sender) = receive_from(&near, &mut [0; 64]).unwrap();
        assert_eq!((length, sender.is_some()), (9, true));
        // The end of file shows that no descriptor of the other end is left.
        assert_eq!(kept.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn without_the_option_there_is_no_sender() {
        let (near, far) = UnixDatagram::pair().unwrap();
        far.send(b"x").unwrap();
        assert_eq!(receive_from(&near, &mut [0; 8]).unwrap(), (1, None));
    }
}
