//! The descriptor of a UNIX socket, whose close never waits for what its peers have sent.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionread;
use rustix::net::{Shutdown, shutdown};

use crate::closer;
use crate::queued_fds::QueuedFds;

/// How a socket is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseBy {
    /// By this thread: nothing in the socket can make it wait.
    ThisThread,
    /// By this thread if no descriptors wait among the unread bytes of the socket, otherwise by the [`closer`]. For connected
    /// UNIX sockets without a duplicate: the close shuts down the socket for all who have it.
    Unread,
    /// By this thread if no client waits in the queue, otherwise by the [`closer`]. For UNIX listeners.
    Queue,
}

/// A socket. Dropping it closes it without a wait.
#[derive(Debug)]
pub struct SocketFd {
    /// Taken only in `drop` and [`Self::into_inner`].
    fd: ManuallyDrop<OwnedFd>,
    close_by: CloseBy,
}

impl SocketFd {
    /// Takes a socket.
    pub fn new(fd: OwnedFd, close_by: CloseBy) -> Self {
        Self { fd: ManuallyDrop::new(fd), close_by }
    }

    /// Returns how the socket is closed.
    pub fn close_by(&self) -> CloseBy {
        self.close_by
    }

    /// Declares that nothing can arrive any more and all has been read: the peer has ended its stream.
    pub fn set_input_ended(&mut self) {
        self.close_by = CloseBy::ThisThread;
    }

    /// Returns the descriptor, which the caller closes.
    pub fn into_inner(self) -> OwnedFd {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped nor used again, so the descriptor is taken once.
        unsafe { ManuallyDrop::take(&mut this.fd) }
    }

    /// Returns whether the close may wait.
    fn may_wait(&self) -> bool {
        match self.close_by {
            CloseBy::ThisThread => false,
            CloseBy::Unread => {
                // Nothing arrives after this, so the numbers below are the last ones.
                let _ = shutdown(self, Shutdown::Read);
                let count = || QueuedFds::of(self.as_fd())?.count();
                ioctl_fionread(self).ok() != Some(0) && count() != Some(0)
            }
            CloseBy::Queue => {
                // A client may still arrive between this look and the close. The listener cannot be shut down before, because
                // another process may have it, too.
                let mut polled = [PollFd::new(self, PollFlags::IN)];
                let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
                poll(&mut polled, Some(&at_once)) != Ok(0)
            }
        }
    }
}

impl Drop for SocketFd {
    fn drop(&mut self) {
        let may_wait = self.may_wait();
        // SAFETY: the value is being dropped, so the descriptor is taken once.
        let fd = unsafe { ManuallyDrop::take(&mut self.fd) };
        if may_wait {
            closer::close(vec![fd]);
        }
    }
}

impl AsFd for SocketFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for SocketFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::send;
    use crate::test_lingering::{Lingering, SOON};
    use std::io::{Read, Write};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    fn pair() -> (UnixStream, SocketFd) {
        let (far, near) = UnixStream::pair().unwrap();
        far.set_read_timeout(Some(SOON)).unwrap();
        (far, SocketFd::new(near.into(), CloseBy::Unread))
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no shutdown")]
    fn a_socket_without_unread_bytes_is_closed_by_this_thread() {
        let (mut far, near) = pair();
        drop(near);
        far.set_nonblocking(true).unwrap();
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no shutdown")]
    fn the_peer_of_unread_bytes_sees_that_they_are_lost() {
        for fds in [vec![], vec![OwnedFd::from(std::fs::File::open("/dev/null").unwrap())]] {
            let (mut far, near) = pair();
            assert_eq!(send(far.as_fd(), b"unread", &fds, None), Ok(6));
            drop(near);
            assert_eq!(far.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        }
    }

    /// In this thread the drop of one would take 600 s.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no SO_LINGER")]
    fn descriptors_in_unread_messages_delay_nothing() {
        let began = std::time::Instant::now();
        let (far, near) = pair();
        let Lingering { socket, peer } = Lingering::new();
        assert_eq!(send(far.as_fd(), b"x", &[socket], None), Ok(1));
        drop(near);
        drop(peer);

        let name = SocketAddr::from_abstract_name(format!("dormouse-queue-{}", std::process::id())).unwrap();
        let listener = UnixListener::bind_addr(&name).unwrap();
        let client = UnixStream::connect_addr(&name).unwrap();
        let Lingering { socket, peer } = Lingering::new();
        assert_eq!(send(client.as_fd(), b"x", &[socket], None), Ok(1));
        drop(SocketFd::new(listener.into(), CloseBy::Queue));
        assert!(began.elapsed() < SOON);
        drop(peer);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no shutdown")]
    fn a_descriptor_that_is_taken_out_stays_open() {
        let (mut far, near) = pair();
        let mut near = UnixStream::from(near.into_inner());
        near.write_all(b"x").unwrap();
        assert_eq!(far.read(&mut [0]).unwrap(), 1);
        let (mut far, mut near) = pair();
        near.set_input_ended();
        drop(near);
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    }
}
