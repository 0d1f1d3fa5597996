//! The errors of `dormouse run`, with their exit statuses.

use std::fmt;
use std::io;

use dormouse_core::plural::enumerated;
use dormouse_proxy::listener::{OpenError, PassedError};
use dormouse_sys::resolve::ResolveError;
use rustix::io::Errno;

/// The exit statuses of sysexits.h that dormouse uses. systemd has names for them (`systemd.exec(5)`).
pub mod exit {
    /// Something that is needed is not available now.
    pub const UNAVAILABLE: u8 = 69;
    /// The system has no descriptors or memory left.
    pub const OSERR: u8 = 71;
    /// A socket cannot be created.
    pub const CANTCREAT: u8 = 73;
    /// A socket failed that worked before.
    pub const IOERR: u8 = 74;
    /// This user lacks a permission.
    pub const NOPERM: u8 = 77;
    /// The configuration is wrong. A restart does not help.
    pub const CONFIG: u8 = 78;
}

/// The reason why `dormouse run` did not start, or ended.
#[derive(Debug)]
pub enum RunError {
    /// The passed sockets cannot be used.
    Passed(PassedError),
    /// A connected socket was passed instead of a listener.
    Connected,
    /// A service needs a socket that was not passed.
    NotPassed {
        /// The service.
        service: String,
        /// The socket's name.
        name: String,
        /// The names of the passed sockets that no service uses.
        known: Vec<String>,
    },
    /// A service passes the credentials of its clients, and this process may not take them on.
    Credentials {
        /// The service.
        service: String,
        /// The setting that asks for it.
        setting: String,
    },
    /// A program is to run as another user, and this process may not take on its user and groups, or end its processes.
    User {
        /// The service.
        service: String,
        /// The setting that asks for it.
        setting: String,
        /// The names of the missing capabilities.
        lacks: Vec<&'static str>,
    },
    /// A service passes the credentials of its clients, and the clients of a passed socket have none.
    NotUnix {
        /// The service.
        service: String,
        /// The setting that asks for a UNIX socket.
        setting: String,
        /// The socket's name.
        name: String,
    },
    /// A listener cannot be opened.
    Open {
        /// The service; `None` for an admin listener.
        service: Option<String>,
        /// The system's error.
        error: OpenError,
    },
    /// A server's address cannot be resolved.
    Target {
        /// The service.
        service: String,
        /// The resolver's error.
        error: ResolveError,
    },
    /// The event loop cannot be created.
    Runtime(io::Error),
    /// A listener failed.
    Listener {
        /// The listener.
        name: String,
        /// The system's error.
        error: io::Error,
    },
}

/// How to give dormouse the capabilities for `peer_credentials = "pass"`.
pub const CAPABILITIES_REMEDY: &str = "add AmbientCapabilities=CAP_SETUID CAP_SETGID to the unit of dormouse (dormouse check --drop-in prints all lines for \
     the shipped unit), or run dormouse as root";

/// How to give dormouse the capabilities for `wake.user`.
pub const USER_REMEDY: &str = "add AmbientCapabilities=CAP_SETUID CAP_SETGID CAP_KILL to the unit of dormouse (dormouse check --drop-in prints all \
     lines for the shipped unit), or run dormouse as root with these capabilities (in a container: --cap-add=)";

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(error) => write!(f, "{error}"),
            Self::Connected => f.write_str(
                "the passed socket is a connection (Accept=yes), which only `dormouse proxy` takes; set Accept=no in the socket unit",
            ),
            Self::NotPassed { service, name, known } => {
                write!(f, "{service}: cannot listen on fd:{name}: ")?;
                match known.as_slice() {
                    [] => f.write_str("no socket of that name was passed; start dormouse from a socket unit with "),
                    known => write!(f, "the passed sockets are {}; set ", known.join(", ")),
                }?;
                write!(f, "FileDescriptorName={name}")
            }
            Self::Credentials { service, setting } => {
                write!(f, "{service}: {setting} needs CAP_SETUID and CAP_SETGID; {CAPABILITIES_REMEDY}")
            }
            Self::User { service, setting, lacks } => {
                write!(f, "{service}: {setting} needs {}; {USER_REMEDY}", enumerated(lacks))
            }
            Self::NotUnix { service, setting, name } => write!(
                f,
                "{service}: {setting}: the passed socket fd:{name} is not a UNIX socket; set ListenStream= to a path in the socket unit"
            ),
            Self::Open { service: Some(service), error } => write!(f, "{service}: {error}"),
            Self::Open { service: None, error } => write!(f, "{error}"),
            Self::Target { service, error } => write!(f, "{service}: {error}"),
            Self::Runtime(error) => write!(f, "cannot set up the event loop: {error}"),
            Self::Listener { name, error } => write!(f, "{name}: cannot accept clients: {error}"),
        }
    }
}

impl std::error::Error for RunError {}

impl RunError {
    /// Returns the exit status, for settings such as `RestartPreventExitStatus=`.
    pub fn exit_status(&self) -> u8 {
        let error = match self {
            Self::Connected | Self::NotPassed { .. } | Self::NotUnix { .. } | Self::Target { .. } => {
                return exit::CONFIG;
            }
            Self::Credentials { .. } | Self::User { .. } => return exit::NOPERM,
            Self::Passed(_) | Self::Runtime(_) => return exit::OSERR,
            Self::Listener { .. } => return exit::IOERR,
            Self::Open { error, .. } => &error.error,
        };
        match error.kind() {
            io::ErrorKind::PermissionDenied => exit::NOPERM,
            // These may pass: the other listener may close, and the address may be assigned.
            io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => exit::UNAVAILABLE,
            _ => exit::CANTCREAT,
        }
    }

    /// Returns the error number for the service manager (`ERRNO=`, `sd_notify(3)`).
    pub fn errno(&self) -> Errno {
        let error = match self {
            Self::Open { error, .. } => &error.error,
            Self::Runtime(error) | Self::Listener { error, .. } => error,
            Self::Credentials { .. } | Self::User { .. } => return Errno::PERM,
            Self::Passed(_)
            | Self::Connected
            | Self::NotPassed { .. }
            | Self::NotUnix { .. }
            | Self::Target { .. } => {
                return Errno::INVAL;
            }
        };
        Errno::from_io_error(error).unwrap_or(Errno::IO)
    }
}
