//! Connecting to a UNIX socket with the credentials of another process, so that the server sees the user and the groups of
//! a client (`SO_PEERCRED`, `SO_PEERGROUPS`).
//!
//! The kernel keeps credentials for each thread. A thread of its own takes on the client's, connects and ends, so that no
//! code can go on with them. Only its effective IDs change: the kernel compares the real and the saved IDs of the target
//! when a process sends a signal or attaches with ptrace(2), so that the client's user gets no hold of dormouse. The thread
//! gives up all capabilities before it connects, so that the mode of the socket applies to the client.
//!
//! As a side effect the kernel makes the process undumpable (`PR_SET_DUMPABLE`, prctl(2)).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, connect};
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};
use tokio::sync::Semaphore;

use crate::blocking::{self, BlockingError};
use crate::credentials::{Credentials, peer_credentials, peer_groups};

/// The largest number of threads at once. A thread lives for some microseconds, unless the lookup of the path blocks.
const MAX_THREADS: usize = 8;
static THREADS: Semaphore = Semaphore::const_new(MAX_THREADS);

/// The ID that stands for "no change" in setresuid(2), and for an unknown peer in `SO_PEERCRED`.
const NO_ID: u32 = u32::MAX;

/// The user and the groups of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Identity {
    /// Returns the identity that a connected UNIX socket's peer had when it connected.
    ///
    /// # Errors
    /// When the peer is not known, or the descriptor is not a connected UNIX socket.
    pub fn of_peer(socket: impl AsFd) -> io::Result<Self> {
        let Credentials { uid, gid, .. } = peer_credentials(&socket)?;
        let groups = peer_groups(&socket)?;
        if [uid, gid].contains(&NO_ID) || groups.contains(&NO_ID) {
            return Err(Errno::NODATA.into());
        }
        Ok(Self { uid, gid, groups })
    }

    /// Returns the user ID.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Gives these credentials to the calling thread, for the rest of its life.
    fn take_on(&self) -> Result<(), Errno> {
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        // The user is last, because the others need the capabilities that a change of the user may drop.
        set_thread_groups(&groups)?;
        set_thread_res_gid(None, Gid::from_raw(self.gid), None)?;
        set_thread_res_uid(None, Uid::from_raw(self.uid), None)?;
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
    }
}

/// Why a connection with the credentials of another process failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectAsError {
    /// This process may not take on the credentials.
    Credentials(Errno),
    /// The system refused a thread.
    Thread(BlockingError),
    /// The kernel refused the connection, as it would refuse it to the other process.
    Connect(Errno),
}

impl fmt::Display for ConnectAsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credentials(error) => write!(
                f,
                "cannot take on the user and the groups: {}; CAP_SETUID and CAP_SETGID are needed",
                io::Error::from(*error)
            ),
            Self::Thread(error) => write!(f, "{error}"),
            Self::Connect(error) => write!(f, "{}", io::Error::from(*error)),
        }
    }
}

impl std::error::Error for ConnectAsError {}

/// Returns whether this thread may take on the credentials of others: `CAP_SETUID` and `CAP_SETGID` are effective.
pub fn may_connect_as() -> bool {
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID;
    capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

/// Connects a non-blocking UNIX socket with the credentials of `identity`. The caller sets the deadline: after it the wait
/// may be dropped. A thread that hangs in the lookup of the path then keeps one of the few places until it is through.
///
/// # Errors
/// When the credentials, the thread or the connection are refused.
pub async fn connect_as(
    socket: OwnedFd,
    address: SocketAddrUnix,
    identity: Arc<Identity>,
) -> Result<OwnedFd, ConnectAsError> {
    // The semaphore is never closed; if it were, there would be no place.
    let place = THREADS.acquire().await.map_err(|_| ConnectAsError::Thread(BlockingError::ThreadEnded))?;
    let mut connecting = blocking::spawn("connect-as", move || {
        let _place = place;
        identity.take_on().map_err(ConnectAsError::Credentials)?;
        retry_interrupted(|| connect(&socket, &address)).map_err(ConnectAsError::Connect)?;
        Ok(socket)
    });
    connecting.result().await.map_err(ConnectAsError::Thread)?
}

fn retry_interrupted(mut call: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    use rustix::process::{getegid, geteuid, getgroups};

    fn listener(name: &str) -> (UnixListener, SocketAddrUnix) {
        let name = format!("dormouse-connect-as-{name}-{}", std::process::id());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        (listener, SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap())
    }

    fn socket() -> OwnedFd {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
    }

    fn stranger() -> Identity {
        Identity { uid: 1234, gid: 2345, groups: vec![7, 2345, 99_999] }
    }

    /// Without the capabilities nothing is connected. The whole program is tested as root.
    #[tokio::test]
    #[cfg_attr(miri, ignore = "Miri has no UNIX sockets with names, and no credentials")]
    async fn the_server_sees_the_identity_or_no_connection() {
        let (listener, address) = listener("sees");
        listener.set_nonblocking(true).unwrap();
        let connected = connect_as(socket(), address, Arc::new(stranger())).await;
        if may_connect_as() {
            let (accepted, _) = listener.accept().unwrap();
            assert_eq!(Identity::of_peer(&accepted).unwrap(), stranger());
            assert_eq!(peer_credentials(&accepted).unwrap().pid, Some(std::process::id()));
        } else {
            assert_eq!(connected.unwrap_err(), ConnectAsError::Credentials(Errno::PERM));
            assert!(listener.accept().is_err());
        }
    }

    #[tokio::test]
    #[cfg_attr(miri, ignore = "Miri has no UNIX sockets with names, and no credentials")]
    async fn this_thread_keeps_its_credentials() {
        let before = (geteuid(), getegid(), getgroups().unwrap(), may_connect_as());
        let (_listener, address) = listener("keeps");
        let _ = connect_as(socket(), address, Arc::new(stranger())).await;
        assert_eq!((geteuid(), getegid(), getgroups().unwrap(), may_connect_as()), before);
    }

    #[tokio::test]
    #[cfg_attr(miri, ignore = "Miri has no UNIX sockets with names, and no credentials")]
    async fn a_refusal_is_that_of_the_connection() {
        let address = SocketAddrUnix::new("/dormouse-no-such-directory/socket").unwrap();
        let error = connect_as(socket(), address, Arc::new(stranger())).await.unwrap_err();
        let connection = ConnectAsError::Connect(Errno::NOENT);
        let credentials = ConnectAsError::Credentials(Errno::PERM);
        assert_eq!(error, if may_connect_as() { connection } else { credentials });
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no UNIX sockets with names, and no credentials")]
    fn the_identity_of_a_peer_is_that_of_its_process() {
        let (near, _far) = UnixStream::pair().unwrap();
        let identity = Identity::of_peer(&near).unwrap();
        assert_eq!(identity.uid(), geteuid().as_raw());
        assert!(Identity::of_peer(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).is_err());
    }
}
