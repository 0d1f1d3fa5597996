//! Why `dormouse run` did not start, or did not go on.

use std::fmt;
use std::io;

use dormouse_proxy::listener::{OpenError, PassedError};
use dormouse_sys::resolve::ResolveError;
use rustix::io::Errno;

/// Exit statuses of sysexits.h, as far as they are used. systemd knows them by name (`systemd.exec(5)`).
pub mod exit {
    /// What is needed is not to be had now.
    pub const UNAVAILABLE: u8 = 69;
    /// The system has nothing left: descriptors, memory.
    pub const OSERR: u8 = 71;
    /// A socket cannot be made.
    pub const CANTCREAT: u8 = 73;
    /// A socket failed that had worked.
    pub const IOERR: u8 = 74;
    /// It may not be done by this user.
    pub const NOPERM: u8 = 77;
    /// The configuration is wrong. Starting again does not help.
    pub const CONFIG: u8 = 78;
}

/// Why it did not start, or did not go on.
#[derive(Debug)]
pub enum RunError {
    /// What was passed in is of no use.
    Passed(PassedError),
    /// One connected socket was passed in.
    Connected,
    /// A service is to have a socket that was not passed in.
    NotPassed {
        /// The service.
        service: String,
        /// The socket's name.
        name: String,
        /// Names that were passed in and are not taken.
        known: Vec<String>,
    },
    /// We cannot listen.
    Open(OpenError),
    /// A server's address cannot be completed.
    Target {
        /// The service.
        service: String,
        /// Why not.
        error: ResolveError,
    },
    /// The system gives us no event loop.
    Runtime(io::Error),
    /// A listener died.
    Listener {
        /// Which.
        name: String,
        /// What the kernel said.
        error: io::Error,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(error) => write!(f, "{error}"),
            Self::Connected => f.write_str(
                "Got a connected socket (Accept=yes), which is for `dormouse proxy`; use Accept=no here.",
            ),
            Self::NotPassed { service, name, known } => {
                write!(
                    f,
                    "Service {service} listens on fd:{name}, but no socket of that name was passed in"
                )?;
                match known.as_slice() {
                    [] => f.write_str(". Start it from a socket unit with "),
                    known => write!(f, " (only {}). Set ", known.join(", ")),
                }?;
                write!(f, "FileDescriptorName={name}.")
            }
            Self::Open(error) => write!(f, "{error}"),
            Self::Target { service, error } => write!(f, "Service {service}: {error}"),
            Self::Runtime(error) => write!(f, "Failed to set up the event loop: {error}"),
            Self::Listener { name, error } => write!(f, "Failed to accept on {name}: {error}"),
        }
    }
}

impl std::error::Error for RunError {}

impl RunError {
    /// The exit status for it, of sysexits.h, as service managers know them (`RestartPreventExitStatus=`).
    pub fn exit_status(&self) -> u8 {
        let error = match self {
            Self::Connected | Self::NotPassed { .. } | Self::Target { .. } => return exit::CONFIG,
            Self::Passed(_) | Self::Runtime(_) => return exit::OSERR,
            Self::Listener { .. } => return exit::IOERR,
            Self::Open(error) => &error.error,
        };
        match error.kind() {
            io::ErrorKind::PermissionDenied => exit::NOPERM,
            // Who listens there may end, and an address may come.
            io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => exit::UNAVAILABLE,
            _ => exit::CANTCREAT,
        }
    }

    /// The kernel's number for it, as the service manager is told (`ERRNO=`, `sd_notify(3)`).
    pub fn errno(&self) -> Errno {
        let error = match self {
            Self::Open(error) => &error.error,
            Self::Runtime(error) | Self::Listener { error, .. } => error,
            Self::Passed(_) | Self::Connected | Self::NotPassed { .. } | Self::Target { .. } => {
                return Errno::INVAL;
            }
        };
        Errno::from_io_error(error).unwrap_or(Errno::IO)
    }
}
