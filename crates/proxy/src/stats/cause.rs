//! Why a session ended, and the names of the causes in metrics and logs.

use dormouse_core::activation::LeaseRefusal;
use dormouse_relay::{AbortReason, End, Operation, Side};

use super::outcome::Outcome;
use crate::refusal::Refusal;

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Both sides closed their streams.
    Finished,
    /// A side disappeared.
    Gone(Side),
    /// A side reset the connection.
    Reset(Side),
    /// Reading from a side, or writing to it, failed.
    Failed(Side),
    /// A side's socket could not be watched.
    Unwatchable(Side),
    /// This side had closed its stream, and the other was inactive for too long.
    HalfCloseTimeout(Side),
    /// Both sides were inactive for too long.
    IdleTimeout,
    /// An administrator, a reload or the end of the process terminated it.
    Killed,
    /// No server could be connected to.
    Unreachable,
    /// No server was reachable in time.
    HoldTimeout,
    /// Too many clients were held.
    Overflow,
    /// The workload could not be started.
    StartFailed,
    /// An earlier start failed, and the backoff was not over.
    Backoff,
    /// The workload was asleep, and this client may not wake it.
    NotAllowed,
    /// The server ended connections before its first byte.
    Dropped,
    /// The client left before a server took its session.
    ClientLeft,
    /// The client sent nothing.
    Silent,
    /// All servers are drained or in maintenance.
    Maintenance,
    /// The server went down, and was configured to end its sessions.
    ServerDown,
    /// All servers were down.
    NoServer,
    /// This side was inactive for too long.
    SideTimeout(Side),
    /// The session reached its maximum duration.
    SessionTimeout,
    /// A trusted proxy sent no valid PROXY header.
    Header,
    /// All servers were at their session limit for too long.
    QueueTimeout,
    /// All servers were at their session limit, and the queue was full.
    QueueFull,
    /// A local limit.
    Internal,
}

impl Cause {
    /// All causes, in the order of the metrics.
    pub const ALL: [Self; 32] = [
        Self::Finished,
        Self::Gone(Side::Downstream),
        Self::Gone(Side::Upstream),
        Self::Reset(Side::Downstream),
        Self::Reset(Side::Upstream),
        Self::Failed(Side::Downstream),
        Self::Failed(Side::Upstream),
        Self::Unwatchable(Side::Downstream),
        Self::Unwatchable(Side::Upstream),
        Self::HalfCloseTimeout(Side::Downstream),
        Self::HalfCloseTimeout(Side::Upstream),
        Self::IdleTimeout,
        Self::Killed,
        Self::Unreachable,
        Self::HoldTimeout,
        Self::Overflow,
        Self::StartFailed,
        Self::Backoff,
        Self::NotAllowed,
        Self::Dropped,
        Self::ClientLeft,
        Self::Silent,
        Self::Maintenance,
        Self::ServerDown,
        Self::NoServer,
        Self::QueueTimeout,
        Self::QueueFull,
        Self::SideTimeout(Side::Downstream),
        Self::SideTimeout(Side::Upstream),
        Self::SessionTimeout,
        Self::Header,
        Self::Internal,
    ];

    /// Returns the cause of an outcome.
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Killed { .. } => Self::Killed,
            Outcome::Relayed(report) => match report.end {
                End::Finished => Self::Finished,
                End::Gone(side) => Self::Gone(side),
                End::Reset(side) => Self::Reset(side),
                End::Failed { side, operation: Operation::Watch, .. } => Self::Unwatchable(side),
                End::Failed { side, .. } => Self::Failed(side),
                End::HalfCloseTimeout(side, _) => Self::HalfCloseTimeout(side),
                End::IdleTimeout(_) => Self::IdleTimeout,
                End::SideTimeout(side, _) => Self::SideTimeout(side),
                End::SessionTimeout(_) => Self::SessionTimeout,
                End::Aborted(AbortReason::ServerDown) => Self::ServerDown,
            },
            Outcome::Unserved(refusal) => Self::of_refusal(refusal),
        }
    }

    fn of_refusal(refusal: &Refusal) -> Self {
        if refusal.is_local_limit() {
            return Self::Internal;
        }
        match refusal {
            Refusal::Unreachable(_) => Self::Unreachable,
            Refusal::HoldTimeout(..) | Refusal::NotWoken(LeaseRefusal::HoldTimeout, _) => Self::HoldTimeout,
            Refusal::NotWoken(LeaseRefusal::QueueFull, _) => Self::Overflow,
            Refusal::NotWoken(LeaseRefusal::StartFailed, _) => Self::StartFailed,
            Refusal::NotWoken(LeaseRefusal::Backoff, _) => Self::Backoff,
            Refusal::NotWoken(LeaseRefusal::WakeNotAllowed, _) => Self::NotAllowed,
            Refusal::Dropped(_) => Self::Dropped,
            Refusal::NoServer(_) => Self::NoServer,
            Refusal::QueueTimeout(_) => Self::QueueTimeout,
            Refusal::QueueFull => Self::QueueFull,
            Refusal::ClientLeft => Self::ClientLeft,
            Refusal::NoFirstData(_) => Self::Silent,
            Refusal::Header(_) => Self::Header,
            Refusal::Maintenance => Self::Maintenance,
            Refusal::Unwatchable(_) => Self::Internal,
        }
    }

    /// Returns the name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Gone(_) => "gone",
            Self::Reset(_) => "reset",
            Self::Failed(_) => "failed",
            Self::Unwatchable(_) => "unwatchable",
            Self::HalfCloseTimeout(_) => "half_close_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::Killed => "killed",
            Self::Unreachable => "unreachable",
            Self::HoldTimeout => "hold_timeout",
            Self::Overflow => "overflow",
            Self::StartFailed => "start_failed",
            Self::Backoff => "backoff",
            Self::NotAllowed => "not_allowed",
            Self::Dropped => "dropped",
            Self::ClientLeft => "client_left",
            Self::Silent => "silent",
            Self::Maintenance => "maintenance",
            Self::ServerDown => "server_down",
            Self::NoServer => "no_server",
            Self::SideTimeout(_) => "side_timeout",
            Self::SessionTimeout => "session_timeout",
            Self::Header => "header",
            Self::QueueTimeout => "queue_timeout",
            Self::QueueFull => "queue_full",
            Self::Internal => "internal",
        }
    }

    /// Returns the side that ended the session: `client`, `server`, `proxy` or `none`.
    pub fn side(self) -> &'static str {
        match self {
            Self::Gone(side)
            | Self::Reset(side)
            | Self::Failed(side)
            | Self::Unwatchable(side)
            | Self::SideTimeout(side) => word(side),
            // The other side was inactive.
            Self::HalfCloseTimeout(side) => word(side.other()),
            Self::ClientLeft | Self::Silent | Self::NotAllowed | Self::Header => "client",
            Self::ServerDown
            | Self::NoServer
            | Self::QueueTimeout
            | Self::Unreachable
            | Self::StartFailed
            | Self::Backoff
            | Self::Dropped
            | Self::HoldTimeout => "server",
            Self::Finished | Self::IdleTimeout | Self::SessionTimeout => "none",
            Self::Killed | Self::Overflow | Self::Maintenance | Self::Internal | Self::QueueFull => "proxy",
        }
    }

    /// Returns whether sessions with this cause had a server. `None`: either may be the case.
    pub fn had_server(self) -> Option<bool> {
        if self == Self::Killed {
            return None;
        }
        Some(matches!(
            self,
            Self::Finished
                | Self::Gone(_)
                | Self::Reset(_)
                | Self::Failed(_)
                | Self::Unwatchable(_)
                | Self::HalfCloseTimeout(_)
                | Self::IdleTimeout
                | Self::ServerDown
                | Self::SideTimeout(_)
                | Self::SessionTimeout
        ))
    }

    /// Returns `HAProxy`'s termination state, two letters: what ended the session, and in which phase (its configuration manual,
    /// "Session state at disconnection").
    pub fn termination(self, had_server: bool) -> &'static str {
        match self {
            Self::Finished => "--",
            Self::Gone(Side::Downstream) | Self::Reset(Side::Downstream) | Self::Failed(Side::Downstream) => {
                "CD"
            }
            Self::Gone(Side::Upstream)
            | Self::Reset(Side::Upstream)
            | Self::Failed(Side::Upstream)
            | Self::Dropped => "SD",
            Self::HalfCloseTimeout(Side::Downstream) | Self::SideTimeout(Side::Upstream) => "sD",
            Self::HalfCloseTimeout(Side::Upstream)
            | Self::SideTimeout(Side::Downstream)
            | Self::IdleTimeout => "cD",
            Self::SessionTimeout => "LD",
            Self::Killed if had_server => "KD",
            Self::Killed => "KC",
            Self::Unreachable | Self::StartFailed | Self::Backoff | Self::Maintenance | Self::NoServer => {
                "SC"
            }
            Self::HoldTimeout | Self::QueueTimeout => "sQ",
            Self::Overflow | Self::QueueFull => "PQ",
            Self::ServerDown => "DD",
            Self::NotAllowed | Self::Header => "PR",
            Self::ClientLeft => "CQ",
            Self::Silent => "cR",
            Self::Unwatchable(_) => "RD",
            Self::Internal => "RC",
        }
    }

    /// Returns the index in [`Self::ALL`].
    pub(super) fn index(self) -> usize {
        Self::ALL.iter().position(|cause| *cause == self).unwrap_or(Self::ALL.len() - 1)
    }
}

fn word(side: Side) -> &'static str {
    match side {
        Side::Downstream => "client",
        Side::Upstream => "server",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::outcome::TerminatedBy;

    #[test]
    fn a_cause_agrees_with_its_outcome_about_the_server() {
        let unserved = Outcome::Unserved(Refusal::QueueFull);
        assert_eq!(Cause::of(&unserved).had_server(), Some(unserved.served()));
        for served in [true, false] {
            let by = TerminatedBy::Process;
            let killed = Outcome::Killed { upstream_bytes: 0, downstream_bytes: 0, served, by };
            assert_eq!(Cause::of(&killed).had_server(), None);
            assert_eq!(killed.served(), served);
        }
    }
}
