//! Why a server could not be connected to, and whether trying again is worth it.

use std::fmt;

use dormouse_sys::resolve::ResolveError;
use rustix::io::Errno;

use super::Endpoint;

/// No address of a target took the connection.
#[derive(Debug)]
pub enum ConnectError {
    /// Its name has no address.
    Unresolved(ResolveError),
    /// What each address said.
    AllFailed(Vec<AddressFailed>),
}

/// What one address said.
#[derive(Debug)]
pub struct AddressFailed {
    /// The address.
    pub address: Endpoint,
    /// The kernel's word; `ETIMEDOUT` also when our own connect_timeout ended.
    pub error: Errno,
}

impl AddressFailed {
    /// Whether nobody listens there, and the kernel says so at once.
    pub fn is_refused(&self) -> bool {
        self.error == Errno::CONNREFUSED
    }

    fn is_permission_denied(&self) -> bool {
        self.error == Errno::ACCESS && self.address.path().is_some()
    }
}

impl ConnectError {
    /// Whether this can pass while the server starts or restarts: it is not there yet, or is busy. What needs an
    /// administrator (a socket of another kind) does not pass by waiting; of permissions see [`Self::is_permission_denied`].
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unresolved(_) => true,
            Self::AllFailed(failures) => {
                failures.iter().any(|failure| is_transient(failure.error) || failure.is_permission_denied())
            }
        }
    }

    /// Whether all that may pass is a permission that is missing. A server that starts has its socket, or the directory,
    /// before it lets others in (`bind()`, then `chmod()`); that passes soon or never.
    pub fn is_permission_denied(&self) -> bool {
        let Self::AllFailed(failures) = self else { return false };
        failures.iter().any(AddressFailed::is_permission_denied)
            && !failures.iter().any(|failure| is_transient(failure.error))
    }

    /// Whether the server took the connection and reset it at once: that is for the client to know.
    pub fn is_reset(&self) -> bool {
        match self {
            Self::Unresolved(_) => false,
            Self::AllFailed(failures) => failures.iter().any(|failure| failure.error == Errno::CONNRESET),
        }
    }

    /// Whether somebody is there and too busy to take it: a UNIX socket's full backlog.
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Unresolved(_) => false,
            Self::AllFailed(failures) => failures.iter().any(|failure| failure.error == Errno::AGAIN),
        }
    }

    /// Whether it is a limit of ours, and not the server, that failed.
    pub fn is_local_limit(&self) -> bool {
        self.each(|error| lacks_resources(error) || error == Errno::ADDRNOTAVAIL)
    }

    /// Whether the process or the system lacks what the end of a session, whichever, gives back. That this machine has no
    /// address to connect from is no such thing.
    pub fn lacks_resources(&self) -> bool {
        self.each(lacks_resources)
    }

    fn each(&self, is_so: impl Fn(Errno) -> bool) -> bool {
        match self {
            Self::Unresolved(_) => false,
            Self::AllFailed(failures) => failures.iter().all(|failure| is_so(failure.error)),
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
            Self::AllFailed(failures) => {
                f.write_str("Failed to connect to server: ")?;
                for (index, failure) in failures.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(f, "{separator}{}: {}", failure.address, text(failure.error))?;
                }
                Ok(())
            }
        }
    }
}

/// The kernel's word, as far as it means something else to a reader than to the kernel.
fn text(error: Errno) -> String {
    match error {
        Errno::AGAIN => "its backlog is full".to_owned(),
        error => std::io::Error::from(error).to_string(),
    }
}

impl std::error::Error for ConnectError {}
