//! Why a server could not be connected to, and whether trying again is worth it.

use std::fmt;

use dormouse_sys::connect_as::ConnectAsError;
use dormouse_sys::resolve::ResolveError;
use rustix::io::Errno;

use super::endpoint::Endpoint;

/// No address of a target took the connection.
#[derive(Debug)]
pub enum ConnectError {
    /// The name has no address.
    Unresolved(ResolveError),
    /// The error of each address.
    AllFailed(Vec<AddressFailed>),
    /// The error of each address, to which dormouse connected with the credentials of the client.
    AsClient {
        /// The user ID of the client.
        user: u32,
        /// The error of each address.
        failures: Vec<AddressFailed>,
        /// The file of the server's socket has just been made or changed, so that a missing permission may pass.
        is_new: bool,
    },
    /// The server was not contacted, because the connection could not get the credentials of the client.
    NotAsClient(NotAsClient),
}

/// Why a connection could not get the credentials of the client.
#[derive(Debug)]
pub enum NotAsClient {
    /// They cannot be read, or the client has none.
    Unknown(std::io::Error),
    /// The server has no UNIX socket.
    NoUnixServer,
    /// They cannot be taken on.
    Refused {
        /// The user ID of the client.
        user: u32,
        /// The reason.
        error: ConnectAsError,
    },
}

/// The error of one address.
#[derive(Debug)]
pub struct AddressFailed {
    /// The address.
    pub address: Endpoint,
    /// The error of the kernel; `ETIMEDOUT` also after dormouse's own timeout.
    pub error: Errno,
}

impl AddressFailed {
    /// Returns whether the connection was refused.
    pub fn is_refused(&self) -> bool {
        self.error == Errno::CONNREFUSED
    }

    fn is_permission_denied(&self) -> bool {
        self.error == Errno::ACCESS && self.address.path().is_some()
    }

    /// Returns whether the error may pass. `may_permit`: also a missing permission.
    fn is_transient(&self, may_permit: bool) -> bool {
        is_transient(self.error) || (may_permit && self.is_permission_denied())
    }
}

impl ConnectError {
    /// Returns whether the error may pass while the server starts or restarts. Errors that need an administrator (a socket
    /// of another type) do not pass; for permissions see [`Self::is_permission_denied`].
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unresolved(_) => true,
            Self::NotAsClient(reason) => reason.lacks_resources(),
            Self::AllFailed(failures) => failures.iter().any(|failure| failure.is_transient(true)),
            // The server does not let this user in, and changes nothing about that soon.
            Self::AsClient { failures, is_new, .. } => {
                failures.iter().any(|failure| failure.is_transient(*is_new))
            }
        }
    }

    /// Returns whether the only transient error is a missing permission. A starting server has its socket or directory
    /// before it sets the permissions (`bind()`, then `chmod()`), so this passes soon or never.
    pub fn is_permission_denied(&self) -> bool {
        let (Self::AllFailed(failures) | Self::AsClient { failures, .. }) = self else { return false };
        failures.iter().any(AddressFailed::is_permission_denied)
            && !failures.iter().any(|failure| is_transient(failure.error))
    }

    /// Returns whether the credentials of this client are the reason, so that the server may take other clients.
    pub fn concerns_client(&self) -> bool {
        match self {
            Self::Unresolved(_) | Self::AllFailed(_) => false,
            Self::NotAsClient(reason) => !reason.lacks_resources(),
            Self::AsClient { failures, .. } => {
                failures.iter().all(|failure| matches!(failure.error, Errno::ACCESS | Errno::PERM))
            }
        }
    }

    /// Returns whether the server reset the connection immediately; the reset is passed to the client.
    pub fn is_reset(&self) -> bool {
        match self {
            Self::Unresolved(_) | Self::NotAsClient(_) => false,
            Self::AllFailed(failures) | Self::AsClient { failures, .. } => {
                failures.iter().any(|failure| failure.error == Errno::CONNRESET)
            }
        }
    }

    /// Returns whether the server is busy: the backlog of its UNIX socket is full.
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Unresolved(_) | Self::NotAsClient(_) => false,
            Self::AllFailed(failures) | Self::AsClient { failures, .. } => {
                failures.iter().any(|failure| failure.error == Errno::AGAIN)
            }
        }
    }

    /// Returns whether a local limit, and not the server, is the reason.
    pub fn is_local_limit(&self) -> bool {
        self.each(|error| lacks_resources(error) || error == Errno::ADDRNOTAVAIL)
    }

    /// Returns whether the process or the system lacks resources that the end of any session frees. A missing local address
    /// is not such a resource.
    pub fn lacks_resources(&self) -> bool {
        self.each(lacks_resources)
    }

    fn each(&self, is_so: impl Fn(Errno) -> bool) -> bool {
        match self {
            Self::Unresolved(_) => false,
            Self::NotAsClient(reason) => reason.lacks_resources(),
            Self::AllFailed(failures) | Self::AsClient { failures, .. } => {
                failures.iter().all(|failure| is_so(failure.error))
            }
        }
    }
}

impl NotAsClient {
    /// Returns whether the system refused a thread, which the end of another may change.
    fn lacks_resources(&self) -> bool {
        matches!(self, Self::Refused { error: ConnectAsError::Thread(_), .. })
    }
}

impl fmt::Display for NotAsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cannot connect with the credentials of the client (peer_credentials): ")?;
        match self {
            Self::Unknown(error) => write!(f, "they are not known: {error}"),
            Self::NoUnixServer => f.write_str("the server has no UNIX socket"),
            Self::Refused { user, error } => write!(f, "user {user}: {error}"),
        }
    }
}

fn lacks_resources(error: Errno) -> bool {
    matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
}

fn is_transient(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNREFUSED
            | Errno::NOENT
            // The directory that the socket will be in.
            | Errno::NOTDIR
            // A UNIX socket's full backlog, which means busy.
            | Errno::AGAIN
            | Errno::NETUNREACH
            | Errno::HOSTUNREACH
            | Errno::NETDOWN
            | Errno::HOSTDOWN
            | Errno::TIMEDOUT
            // A vsock guest that is not up, or an interface without an address yet.
            | Errno::NODEV
            | Errno::ADDRNOTAVAIL
    ) || lacks_resources(error)
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(error) => write!(f, "{error}"),
            Self::NotAsClient(reason) => write!(f, "{reason}"),
            Self::AllFailed(failures) => write_failures(failures, f),
            Self::AsClient { user, failures, .. } => {
                write_failures(failures, f)?;
                write!(f, " (as user {user}, peer_credentials)")
            }
        }
    }
}

fn write_failures(failures: &[AddressFailed], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("Failed to connect to server: ")?;
    for (index, failure) in failures.iter().enumerate() {
        let separator = if index == 0 { "" } else { "; " };
        write!(f, "{separator}{}: {}", failure.address, text(failure.error))?;
    }
    Ok(())
}

/// Returns the text of an error, in clearer words where the kernel's are misleading.
fn text(error: Errno) -> String {
    match error {
        Errno::AGAIN => "its backlog is full".to_owned(),
        error => std::io::Error::from(error).to_string(),
    }
}

impl std::error::Error for ConnectError {}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::SocketAddrUnix;

    #[test]
    fn a_client_without_permission_does_not_wait_for_one() {
        let failed = |error| {
            let address = Endpoint::Unix(SocketAddrUnix::new("/run/server").unwrap());
            vec![AddressFailed { address, error }]
        };
        let as_client =
            |error, is_new| ConnectError::AsClient { user: 1000, failures: failed(error), is_new };
        assert!(!as_client(Errno::ACCESS, false).is_transient());
        assert!(as_client(Errno::ACCESS, true).is_transient());
        assert!(as_client(Errno::CONNREFUSED, false).is_transient());
        assert!(!as_client(Errno::PERM, true).is_transient());
        // An administrator may be about to let dormouse in.
        assert!(ConnectError::AllFailed(failed(Errno::ACCESS)).is_transient());
    }
}
