//! Descriptors and timers in the event loop.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use crate::socket_fd::SocketFd;

/// An owner of one descriptor.
pub trait Owner: AsRawFd + sealed::Owner {}

impl Owner for OwnedFd {}
impl Owner for SocketFd {}

mod sealed {
    /// Only types of this crate's choice, whose descriptor stays open and the same while they live.
    pub trait Owner {}

    impl Owner for super::OwnedFd {}
    impl Owner for super::SocketFd {}
}

/// Registers a descriptor in the event loop, for the events of `interest` only. Watching writability without a need
/// causes wake-ups.
///
/// # Errors
/// When the system's limit of watches is reached, or the descriptor is of a kind that cannot be watched.
pub fn register<T: Owner>(fd: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: the descriptor of an owner stays open while it lives and always has the same number. The AsyncFd owns it, and
    // leaves the event loop before it closes the descriptor.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(io::Error::from)
}

/// Waits until a time; for ever if there is none.
pub async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use rustix::io::write;
    use tokio::time::timeout;

    #[tokio::test]
    async fn only_the_registered_events_wake_the_task() {
        let (near, far) = UnixStream::pair().unwrap();
        let near = register(OwnedFd::from(near), Interest::READABLE).unwrap();
        assert!(timeout(Duration::from_millis(20), near.writable()).await.is_err(), "it has room to write");
        assert_eq!(write(&far, b"x"), Ok(1));
        assert!(near.readable().await.unwrap().ready().is_readable());
    }

    #[tokio::test]
    async fn a_descriptor_leaves_the_event_loop_with_its_owner() {
        let (near, far) = UnixStream::pair().unwrap();
        let near = register(OwnedFd::from(near), Interest::READABLE).unwrap().into_inner();
        assert_eq!(write(&far, b"x"), Ok(1));
        let again = register(near, Interest::READABLE).unwrap();
        assert!(again.readable().await.unwrap().ready().is_readable());
        drop(again);
        assert!(write(&far, b"x").is_err(), "the descriptor is still open");
    }

    #[tokio::test]
    #[cfg_attr(miri, ignore = "Miri cannot refuse a file in epoll")]
    async fn a_regular_file_cannot_be_registered() {
        let file =
            std::fs::File::open("/etc/hostname").or_else(|_| std::fs::File::open("/etc/passwd")).unwrap();
        assert!(register(OwnedFd::from(file), Interest::READABLE).is_err());
    }
}
