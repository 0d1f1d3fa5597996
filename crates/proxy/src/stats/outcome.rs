//! The outcome of a session.

use std::fmt;

use dormouse_relay::Report;

use crate::refusal::Refusal;

/// How a session ended.
#[derive(Debug)]
pub enum Outcome {
    /// The relay ended.
    Relayed(Report),
    /// No server took the session.
    Unserved(Refusal),
    /// The session was terminated.
    Killed {
        /// Bytes passed from the client to the server.
        upstream_bytes: u64,
        /// Bytes passed from the server to the client.
        downstream_bytes: u64,
        /// Whether the session had a server.
        served: bool,
        /// What terminated it.
        by: TerminatedBy,
    },
}

/// What terminates a session before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminatedBy {
    /// An administrator.
    Administrator,
    /// The removal or change of its service.
    Service,
    /// The end of the process.
    Process,
}

impl fmt::Display for TerminatedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Administrator => "terminated by an administrator",
            Self::Service => "terminated with its service (drain_timeout)",
            Self::Process => "terminated with the process",
        })
    }
}

impl Outcome {
    /// Returns whether a server took the session.
    pub fn served(&self) -> bool {
        match self {
            Self::Relayed(_) => true,
            Self::Unserved(_) => false,
            Self::Killed { served, .. } => *served,
        }
    }

    /// Returns the bytes sent to the server and received from it.
    pub fn bytes(&self) -> (u64, u64) {
        match self {
            Self::Relayed(report) => (report.upstream_bytes, report.downstream_bytes),
            Self::Killed { upstream_bytes, downstream_bytes, .. } => (*upstream_bytes, *downstream_bytes),
            Self::Unserved(_) => (0, 0),
        }
    }
}
