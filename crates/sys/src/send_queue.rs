//! The send queue of a socket.

use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Getter, Opcode, ioctl};

/// Returns the number of bytes in the socket's send queue: for TCP those that the peer's kernel has not acknowledged,
/// for a UNIX socket those that the peer has not read, with the kernel's overhead (`SIOCOUTQ`: tcp(7), unix(7)).
///
/// # Errors
/// When the descriptor has no send queue.
pub fn unacknowledged(socket: impl AsFd) -> io::Result<usize> {
    #[expect(clippy::cast_possible_truncation, reason = "request numbers have 32 bits")]
    const SIOCOUTQ: Opcode = libc::TIOCOUTQ as Opcode;
    // SAFETY: `SIOCOUTQ` (`TIOCOUTQ` on Linux) writes one `int` through the pointer that it receives.
    let bytes: libc::c_int = unsafe {
        let getter = Getter::<SIOCOUTQ, libc::c_int>::new();
        ioctl(socket, getter)?
    };
    Ok(usize::try_from(bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no SIOCOUTQ")]
    fn unread_bytes_stay_in_the_queue() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        assert_eq!(unacknowledged(&near).unwrap(), 0);
        near.write_all(b"hello").unwrap();
        assert!(unacknowledged(&near).unwrap() >= 5, "the kernel adds its own overhead");
        far.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(unacknowledged(&near).unwrap(), 0);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no SIOCOUTQ")]
    fn delivered_bytes_are_acknowledged() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        near.write_all(b"hello").unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while unacknowledged(&near).unwrap() > 0 {
            assert!(Instant::now() < deadline, "the loopback interface has lost the bytes");
            std::thread::yield_now();
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no SIOCOUTQ")]
    fn a_file_has_no_send_queue() {
        assert!(unacknowledged(std::fs::File::open("/dev/null").unwrap()).is_err());
    }
}
