//! The result of a session: how many bytes it moved, and why it ended.

use std::fmt;
use std::time::Duration;

use rustix::io::Errno;

/// One of the two ends of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client, which connected to dormouse.
    Downstream,
    /// The server, to which dormouse connected.
    Upstream,
}

impl Side {
    /// Returns the opposite end.
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

/// The operation in which a socket failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A read.
    Read,
    /// A write.
    Write,
    /// The registration in the event loop. The cause is a limit of the system, not the peer.
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

/// A failed operation. The direction of the bytes and the operation together identify the socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SocketError {
    pub(crate) operation: Operation,
    pub(crate) error: Errno,
}

/// Why a session was aborted from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortReason {
    /// The server was marked down, and the configuration ends its sessions in that case.
    ServerDown,
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServerDown => "aborted: the server went down",
        })
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both sides sent their end of stream, and all bytes were delivered.
    Finished,
    /// This side closed its socket; the rest of the other side's stream has no reader.
    Gone(Side),
    /// This side reset the connection; the reset was passed on.
    Reset(Side),
    /// A socket failed for another reason.
    Failed {
        /// The side whose socket failed.
        side: Side,
        /// The operation that failed.
        operation: Operation,
        /// The error that the kernel reported.
        error: Errno,
    },
    /// This side ended its stream, and the other side moved no byte for this time.
    HalfCloseTimeout(Side, Duration),
    /// No byte moved in either direction for this time.
    IdleTimeout(Duration),
    /// The session was aborted from outside; both sides were reset.
    Aborted(AbortReason),
    /// The session waited for this side to send or to receive, and this side did neither for this time.
    SideTimeout(Side, Duration),
    /// The session reached this, the longest time that a session may last.
    SessionTimeout(Duration),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::Gone(side) => write!(f, "closed by the {side}"),
            Self::Reset(side) => write!(f, "reset by the {side}"),
            Self::Failed { side, operation, error } => {
                write!(f, "{side}: {operation} failed: {error}")
            }
            Self::HalfCloseTimeout(side, after) => {
                write!(f, "half-closed by the {side}, then idle for {} s", after.as_secs_f64())
            }
            Self::IdleTimeout(after) => write!(f, "idle for {} s", after.as_secs_f64()),
            Self::Aborted(reason) => write!(f, "{reason}"),
            Self::SideTimeout(side, after) => {
                write!(f, "{side} inactive for {} s", after.as_secs_f64())
            }
            Self::SessionTimeout(after) => write!(f, "session limit of {} s reached", after.as_secs_f64()),
        }
    }
}

/// The bytes that a session moved, and why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The number of bytes passed from the client to the server.
    pub upstream_bytes: u64,
    /// The number of bytes passed from the server to the client.
    pub downstream_bytes: u64,
    /// Why the session ended.
    pub end: End,
}
