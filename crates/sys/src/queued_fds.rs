//! The number of descriptors in the queue of a UNIX socket, without a read.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::pread;

/// The kernel's fdinfo of a UNIX socket, which counts the descriptors in its queue.
#[derive(Debug)]
pub struct QueuedFds(OwnedFd);

impl QueuedFds {
    /// Returns `None` without /proc, or without a free descriptor.
    pub fn of(socket: BorrowedFd<'_>) -> Option<Self> {
        let path = format!("/proc/self/fdinfo/{}", socket.as_raw_fd());
        open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok().map(Self)
    }

    /// Returns how many descriptors have arrived and are not received; `None` if the kernel does not report the number
    /// (before 5.5).
    pub fn count(&self) -> Option<u32> {
        let mut text = [0; 512];
        let length = pread(&self.0, &mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..length)?).ok()?;
        text.lines().find_map(|line| line.strip_prefix("scm_fds:"))?.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{receive, send};
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sendmsg for UNIX sockets")]
    fn descriptors_count_until_they_are_received() {
        let (near, far) = UnixStream::pair().unwrap();
        let queue = QueuedFds::of(near.as_fd()).unwrap();
        let file = || OwnedFd::from(File::open("/dev/null").unwrap());
        assert_eq!(queue.count(), Some(0));
        assert_eq!(send(far.as_fd(), b"x", &[], None), Ok(1));
        assert_eq!(queue.count(), Some(0));
        assert_eq!(send(far.as_fd(), b"x", &[file(), file()], None), Ok(1));
        assert_eq!(queue.count(), Some(2));
        let mut received = Vec::new();
        receive(near.as_fd(), &mut [0; 8], &mut received).unwrap();
        assert_eq!((received.len(), queue.count()), (2, Some(0)));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri does not let a test read /proc")]
    fn a_file_has_no_such_queue() {
        let file = File::open("/dev/null").unwrap();
        assert_eq!(QueuedFds::of(file.as_fd()).and_then(|queue| queue.count()), None);
    }
}
