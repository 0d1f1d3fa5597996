//! Administrator commands, and the snapshot that explains the state.

use std::time::{Duration, Instant};

use super::{Evictions, Phase, StateMachine};
use crate::activation::Action;

/// Why an administrator command cannot be carried out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminError {
    /// The workload is not awake.
    NotAwake,
    /// This number of sessions and held clients need the workload.
    InUse(usize),
    /// The schedule keeps the workload awake.
    KeepWarm,
    /// The workload is not frozen.
    NotFrozen,
}

/// What keeps a workload in its state, and what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// The number of leases.
    pub leases: usize,
    /// The number of leases that count as use.
    pub in_use: usize,
    /// The number of held clients.
    pub held: usize,
    /// Whether the schedule keeps the workload awake.
    pub keep_warm: bool,
    /// The reasons to stop the workload as soon as it is unused.
    pub evictions: Evictions,
    /// Whether another program started the workload.
    pub foreign: bool,
    /// Whether the policy allows to stop the workload.
    pub may_stop: bool,
    /// The end of the minimum uptime.
    pub minimum_uptime_ends: Instant,
    /// The time at which the workload freezes if no client comes.
    pub freeze_at: Option<Instant>,
    /// The time at which the workload stops if no client comes.
    pub stop_at: Option<Instant>,
    /// The time without use after which the workload freezes.
    pub freeze_after: Option<Duration>,
    /// The time without use after which the workload stops.
    pub stop_after: Option<Duration>,
    /// The time at which the operation in progress is given up.
    pub timeout_at: Option<Instant>,
    /// The end of the backoff after a failed start.
    pub retry_at: Option<Instant>,
}

impl StateMachine {
    /// Stops the workload now, before its idle time is over and no matter which program started it.
    ///
    /// # Errors
    /// An [`AdminError`] if the workload is not awake or is needed.
    pub fn stop_by_admin(&mut self, now: Instant, out: &mut Vec<Action>) -> Result<(), AdminError> {
        if !matches!(self.phase, Phase::Up | Phase::Frozen) {
            return Err(AdminError::NotAwake);
        }
        self.check_unused()?;
        self.enter(now, Phase::Stopping { failed: false });
        out.push(Action::Stop);
        Ok(())
    }

    /// Freezes the workload now, before its idle time is over.
    ///
    /// # Errors
    /// An [`AdminError`] if the workload is not awake or is needed.
    pub fn freeze(&mut self, now: Instant, out: &mut Vec<Action>) -> Result<(), AdminError> {
        if self.phase != Phase::Up {
            return Err(AdminError::NotAwake);
        }
        self.check_unused()?;
        self.enter(now, Phase::Freezing);
        out.push(Action::Freeze);
        Ok(())
    }

    /// Thaws the workload. The usual idle rules apply afterwards.
    ///
    /// # Errors
    /// An [`AdminError`] if the workload is not frozen.
    pub fn thaw(&mut self, now: Instant, out: &mut Vec<Action>) -> Result<(), AdminError> {
        if self.phase != Phase::Frozen {
            return Err(AdminError::NotFrozen);
        }
        self.ensure_awake(now, out);
        Ok(())
    }

    /// Returns what keeps the workload in its state, and what happens next.
    pub fn snapshot(&self) -> Snapshot {
        let retry_at = match self.phase {
            Phase::Failed { until } => Some(until),
            _ => None,
        };
        let awake = matches!(self.phase, Phase::Up | Phase::Frozen);
        Snapshot {
            leases: self.leases,
            in_use: self.in_use,
            held: self.held.len(),
            keep_warm: self.keep_warm,
            evictions: self.evictions,
            foreign: self.foreign,
            may_stop: self.may_stop(),
            minimum_uptime_ends: self.minimum_uptime_ends(),
            freeze_at: self.freeze_at(),
            stop_at: self.stop_at().filter(|_| awake),
            freeze_after: self.policy.freeze_after,
            stop_after: self.policy.stop_after,
            timeout_at: self.operation_timeout(),
            retry_at,
        }
    }

    fn check_unused(&self) -> Result<(), AdminError> {
        match self.in_use + self.held.len() {
            0 if self.keep_warm => Err(AdminError::KeepWarm),
            0 => Ok(()),
            used => Err(AdminError::InUse(used)),
        }
    }
}
