//! Datagrams of UNIX sockets together with their sender and with descriptors (`SCM_CREDENTIALS`, `SCM_RIGHTS`, unix(7)).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{Shutdown, shutdown, sockopt};

use crate::credentials::Credentials;
use crate::message;

/// Makes the kernel add the sender to each datagram that the socket receives (`SO_PASSCRED`).
///
/// # Errors
/// When the descriptor is not a socket.
pub fn pass_senders(socket: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_socket_passcred(socket, true)?)
}

/// A datagram, as far as it is not in the buffer.
#[derive(Debug)]
pub struct Datagram {
    /// The number of its bytes in the buffer. The rest of a longer one is lost.
    pub length: usize,
    /// Its sender; `None` if the kernel did not add one.
    pub sender: Option<Credentials>,
    /// The descriptors that came with it. To close one may take as long as the sender likes (`SO_LINGER`, FUSE).
    pub descriptors: Vec<OwnedFd>,
}

/// Receives a datagram without waiting.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] without a datagram, and the errors of recvmsg(2).
pub fn receive_from(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Datagram> {
    let mut descriptors = Vec::new();
    let received = message::receive_now(socket.as_fd(), buffer, &mut descriptors)?;
    Ok(Datagram { length: received.bytes, sender: received.credentials, descriptors })
}

/// Refuses further datagrams, and takes the descriptors out of those that are not read. Without this the kernel closes them
/// with the socket.
pub fn take_unread_descriptors(socket: impl AsFd) -> Vec<OwnedFd> {
    let mut all = Vec::new();
    // The kernel limits the queue (net.unix.max_dgram_qlen).
    if shutdown(&socket, Shutdown::Read).is_ok() {
        while let Ok(datagram) = receive_from(&socket, &mut []) {
            all.extend(datagram.descriptors);
        }
    }
    all
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
        let Datagram { length, sender, descriptors } = receive_from(&near, &mut buffer).unwrap();
        assert_eq!((&buffer[..length], descriptors.len()), (&b"READY=1 "[..], 0));
        let sender = sender.unwrap();
        assert_eq!(sender.pid, Some(std::process::id()));
        assert_eq!(sender.uid, rustix::process::getuid().as_raw());
        assert_eq!(sender.gid, rustix::process::getgid().as_raw());
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no datagrams of UNIX sockets")]
    fn passed_descriptors_are_taken_out() {
        let (near, far) = UnixDatagram::pair().unwrap();
        pass_senders(&near).unwrap();
        let (mut kept, passed) = UnixStream::pair().unwrap();
        let fds = [passed.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(&far, &[IoSlice::new(b"BARRIER=1")], &mut control, SendFlags::empty()).unwrap();
        let datagram = receive_from(&near, &mut [0; 64]).unwrap();
        assert_eq!((datagram.length, datagram.sender.is_some(), datagram.descriptors.len()), (9, true, 1));
        drop(datagram);
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(&far, &[IoSlice::new(b"BARRIER=1")], &mut control, SendFlags::empty()).unwrap();
        drop(passed);
        assert_eq!(take_unread_descriptors(&near).len(), 1);
        assert!(far.send(b"x").is_err());
        // The end of file shows that no descriptor of the other end is left.
        assert_eq!(kept.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no datagrams of UNIX sockets")]
    fn without_the_option_there_is_no_sender() {
        let (near, far) = UnixDatagram::pair().unwrap();
        far.send(b"x").unwrap();
        let datagram = receive_from(&near, &mut [0; 8]).unwrap();
        assert_eq!((datagram.length, datagram.sender), (1, None));
    }
}
