//! The outcome of a session.

use std::fmt;

use dormouse_relay::Report;

use crate::refusal::Refusal;

/// How a session went.
#[derive(Debug)]
pub enum Outcome {
    /// It was relayed to its end.
    Relayed(Report),
    /// No server took it.
    Unserved(Refusal),
    /// Somebody asked for its end.
    Killed {
        /// Bytes passed from the client to the server.
        upstream_bytes: u64,
        /// Bytes passed from the server to the client.
        downstream_bytes: u64,
        /// It had a server.
        served: bool,
        /// Who did.
        by: TerminatedBy,
    },
}

/// Who asks for a session's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminatedBy {
    /// Somebody who looks at sessions.
    Administrator,
    /// Its service, which has become another one.
    Service,
    /// The process, which ends.
    Process,
}

impl fmt::Display for TerminatedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Administrator => "ended by an administrator",
            Self::Service => "ended with its service (drain_timeout)",
            Self::Process => "ended with the process",
        })
    }
}

impl Outcome {
    /// Whether a server took it.
    pub fn served(&self) -> bool {
        match self {
            Self::Relayed(_) => true,
            Self::Unserved(_) => false,
            Self::Killed { served, .. } => *served,
        }
    }

    /// Bytes that went to the server, and that came from it.
    pub fn bytes(&self) -> (u64, u64) {
        match self {
            Self::Relayed(report) => (report.upstream_bytes, report.downstream_bytes),
            Self::Killed { upstream_bytes, downstream_bytes, .. } => (*upstream_bytes, *downstream_bytes),
            Self::Unserved(_) => (0, 0),
        }
    }
}
