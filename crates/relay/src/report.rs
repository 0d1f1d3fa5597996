//! What is left to say of a session when it is over.

use std::fmt;
use std::time::Duration;

use rustix::io::Errno;

/// One of a session's two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client, which connected to us.
    Downstream,
    /// The server, to which we connected.
    Upstream,
}

impl Side {
    /// The end across from this one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Downstream => Self::Upstream,
            Self::Upstream => Self::Downstream,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Downstream => "client",
            Self::Upstream => "server",
        })
    }
}

/// What was asked of a socket when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Asking the event loop to watch it: a limit of ours, not a fault of the peer.
    Watch,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Watch => "watch",
        })
    }
}

/// Why a session was ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Its server went down, and its sessions were to end with it.
    ServerDown,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServerDown => "ended, because the server went down",
        })
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both sides sent their end of stream, and all bytes were passed on.
    Finished,
    /// This side went away altogether; nobody is left to read what the other sends.
    Gone(Side),
    /// This side reset the connection; the reset was passed on.
    Reset(Side),
    /// A socket failed in another way.
    Failed {
        /// Whose socket.
        side: Side,
        /// What was asked of it.
        operation: Operation,
        /// What the kernel said.
        error: Errno,
    },
    /// This side had ended its stream, and the other moved no byte for so long.
    HalfCloseTimeout(Side, Duration),
    /// No byte moved either way for so long.
    IdleTimeout(Duration),
    /// It was ended from outside; both sides were reset.
    Cut(Cut),
    /// This side was expected to say or to take something, and did not for so long.
    SideTimeout(Side, Duration),
    /// It lasted for as long as a session may.
    SessionTimeout(Duration),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::Gone(side) => write!(f, "the {side} went away"),
            Self::Reset(side) => write!(f, "reset by the {side}"),
            Self::Failed { side, operation, error } => {
                write!(f, "{operation} failed on the {side}'s side: {error}")
            }
            Self::HalfCloseTimeout(side, after) => {
                write!(f, "half-closed by the {side}, then silent for {} s", after.as_secs_f64())
            }
            Self::IdleTimeout(after) => write!(f, "silent for {} s", after.as_secs_f64()),
            Self::Cut(why) => write!(f, "{why}"),
            Self::SideTimeout(side, after) => {
                write!(f, "nothing from or to the {side} for {} s", after.as_secs_f64())
            }
            Self::SessionTimeout(after) => write!(f, "over after {} s", after.as_secs_f64()),
        }
    }
}

/// What a session moved and how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Bytes passed from the client to the server.
    pub upstream_bytes: u64,
    /// Bytes passed from the server to the client.
    pub downstream_bytes: u64,
    /// Why it ended.
    pub end: End,
}
