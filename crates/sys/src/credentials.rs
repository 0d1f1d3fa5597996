//! The credentials of a UNIX socket's peer (`SO_PEERCRED`, `SO_PEERGROUPS`, unix(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// The credentials that the peer had when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// The user ID.
    pub uid: u32,
    /// The group ID.
    pub gid: u32,
    /// The process ID; `None` if the process is in another PID namespace and has no ID in this one.
    pub pid: Option<u32>,
}

/// Returns the credentials of a connected UNIX socket's peer.
///
/// # Errors
/// When the descriptor is not a socket.
pub fn peer_credentials(socket: impl AsFd) -> io::Result<Credentials> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    #[expect(clippy::cast_possible_truncation, reason = "12 bytes")]
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `found` is a ucred of `length` bytes, and both live until the call returns. Every bit pattern is a ucred.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let pid = u32::try_from(found.pid).ok().filter(|pid| *pid != 0);
    Ok(Credentials { uid: found.uid, gid: found.gid, pid })
}

/// The largest number of supplementary groups of a process (`NGROUPS_MAX`).
const MAX_GROUPS: usize = 65_536;

/// Returns the supplementary groups that a connected UNIX socket's peer had when it connected.
///
/// # Errors
/// When the descriptor is not a connected UNIX socket, or the kernel is older than 4.13.
pub fn peer_groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups: Vec<u32> = vec![0; 32];
    loop {
        let mut length = libc::socklen_t::try_from(size_of_val(groups.as_slice())).unwrap_or(0);
        // SAFETY: `groups` has `length` bytes, and both live until the call returns. Every bit pattern is a u32.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let found = usize::try_from(length).unwrap_or(0) / size_of::<u32>();
        if result == 0 {
            groups.truncate(found);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        // The kernel has set the length that it needs.
        if error.raw_os_error() != Some(libc::ERANGE) || found <= groups.len() || found > MAX_GROUPS {
            return Err(error);
        }
        groups.resize(found, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no SO_PEERCRED")]
    fn a_peer_in_this_process_has_its_credentials() {
        let (near, _far) = UnixStream::pair().unwrap();
        let found = peer_credentials(&near).unwrap();
        assert_eq!(found.pid, Some(std::process::id()));
        assert_eq!(found.uid, rustix::process::geteuid().as_raw());
        assert_eq!(found.gid, rustix::process::getegid().as_raw());
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no SO_PEERCRED")]
    fn a_tcp_socket_has_no_peer_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // The kernel answers for every socket. Without a peer process the process ID is zero.
        let found = peer_credentials(&listener);
        assert!(found.is_err() || found.is_ok_and(|found| found.pid.is_none()));
    }

    #[test]
    fn a_file_is_an_error() {
        let error = peer_credentials(std::fs::File::open("/dev/null").unwrap()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
    }
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no SO_PEERGROUPS")]
    fn a_peer_in_this_process_has_its_groups() {
        let (near, _far) = UnixStream::pair().unwrap();
        let mut own: Vec<u32> =
            rustix::process::getgroups().unwrap().into_iter().map(rustix::process::Gid::as_raw).collect();
        let mut found = peer_groups(&near).unwrap();
        own.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, own);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no SO_PEERGROUPS")]
    fn a_tcp_socket_has_no_groups() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(peer_groups(&listener).is_err());
    }
}
