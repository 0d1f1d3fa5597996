//! Descriptors in the event loop.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the event loop watch a descriptor for this interest only (writability costs wake-ups where nobody waits for
/// it).
///
/// # Errors
/// When the system's limit of watches is reached, or the descriptor is of a kind that cannot be watched.
pub fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open for as long as it lives, always gives the same number, and is owned by the result,
    // which leaves the event loop before it lets go of it.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn only_what_was_asked_for_wakes() {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let near = watch(near.into(), Interest::READABLE).unwrap();
        (&far).write_all(b"x").unwrap();
        assert!(near.readable().await.unwrap().ready().is_readable());
    }

    #[tokio::test]
    async fn a_plain_file_cannot_be_watched() {
        let file =
            std::fs::File::open("/etc/hostname").or_else(|_| std::fs::File::open("/etc/passwd")).unwrap();
        assert!(watch(file.into(), Interest::READABLE).is_err());
    }
}
