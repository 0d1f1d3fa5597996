//! Who is at the other end of a UNIX socket (`SO_PEERCRED`, unix(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// The peer as it was when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its process; `None` if that is in another PID namespace, where it has no number for us.
    pub pid: Option<u32>,
}

/// Asks for the credentials of a connected UNIX socket's peer.
///
/// # Errors
/// When it is no socket.
pub fn peer_credentials(socket: impl AsFd) -> io::Result<Credentials> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    #[expect(clippy::cast_possible_truncation, reason = "12 bytes")]
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `found` is a ucred of `length` bytes, and both live until the call returns. Every bit pattern is a ucred.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut length,
        )
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    let pid = u32::try_from(found.pid).ok().filter(|pid| *pid != 0);
    Ok(Credentials { uid: found.uid, gid: found.gid, pid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_peer_in_this_process_is_this_process() {
        let (near, _far) = UnixStream::pair().unwrap();
        let found = peer_credentials(&near).unwrap();
        assert_eq!(found.pid, Some(std::process::id()));
        assert_eq!(found.uid, rustix::process::geteuid().as_raw());
        assert_eq!(found.gid, rustix::process::getegid().as_raw());
    }

    #[test]
    fn a_tcp_socket_has_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // The kernel answers for every socket, with a process that there is not.
        let found = peer_credentials(&listener);
        assert!(found.is_err() || found.is_ok_and(|found| found.pid.is_none()));
    }
}
