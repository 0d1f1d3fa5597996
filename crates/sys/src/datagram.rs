//! Datagrams of UNIX sockets together with their sender (`SCM_CREDENTIALS`, unix(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::sockopt;

use crate::control_message::{ControlBuffer, UCRED, sender, space};
use crate::credentials::Credentials;
use crate::message::{control_length, header};

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
    const LENGTH: usize = space(UCRED);
    let mut control = ControlBuffer::<LENGTH>::new();
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut header = header(&mut vector, control.as_mut_ptr(), LENGTH);
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to the vector, the buffer and the control buffer with their lengths, which all live until
    // the call returns.
    let length = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, flags) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has filled the control buffer up to the length that is in the header now.
    let first = unsafe { control.messages(control_length(&header)) }.next();
    Ok((length, first.and_then(sender)))
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
    #[cfg_attr(miri, ignore = "Miri has no datagrams of UNIX sockets")]
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
    #[cfg_attr(miri, ignore = "Miri has no datagrams of UNIX sockets")]
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
    #[cfg_attr(miri, ignore = "Miri has no datagrams of UNIX sockets")]
    fn without_the_option_there_is_no_sender() {
        let (near, far) = UnixDatagram::pair().unwrap();
        far.send(b"x").unwrap();
        assert_eq!(receive_from(&near, &mut [0; 8]).unwrap(), (1, None));
    }
}
