//! What an administrator does to it, and what is to be told of it.

use std::time::{Duration, Instant};

use super::{Evictions, Phase, StateMachine};
use crate::activation::Action;

/// Why a service cannot be put to sleep now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminError {
    /// It is not awake, or on its way.
    NotAwake,
    /// So many sessions use it, or clients wait for it.
    InUse(usize),
    /// It is wanted awake at this time.
    KeepWarm,
    /// It is not frozen.
    NotFrozen,
}

/// What holds a service where it is, and what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Sessions that have a lease.
    pub leases: usize,
    /// Those that count as use.
    pub in_use: usize,
    /// Clients that wait.
    pub held: usize,
    /// It is wanted awake at this time.
    pub keep_warm: bool,
    /// Why it sleeps as soon as nobody uses it.
    pub evictions: Evictions,
    /// Somebody else has started it.
    pub foreign: bool,
    /// It may sleep at all as far as whoever started it is concerned.
    pub may_stop: bool,
    /// Not before this moment, because of its minimum uptime.
    pub minimum_uptime_ends: Instant,
    /// When it freezes if nobody comes.
    pub freeze_at: Option<Instant>,
    /// When it stops if nobody comes.
    pub stop_at: Option<Instant>,
    /// How long without use until it freezes, if it does at all.
    pub freeze_after: Option<Duration>,
    /// How long without use until it stops, if it does at all.
    pub stop_after: Option<Duration>,
    /// When what is under way is given up: a start, a stop.
    pub timeout_at: Option<Instant>,
    /// Until when a failed start is not repeated.
    pub retry_at: Option<Instant>,
}

impl StateMachine {
    /// An administrator stops it, although its time has not come, and whoever has started it.
    ///
    /// # Errors
    /// When it is not awake, or somebody needs it.
    pub fn sleep(&mut self, now: Instant, out: &mut Vec<Action>) -> Result<(), AdminError> {
        if !matches!(self.phase, Phase::Up | Phase::Frozen) {
            return Err(AdminError::NotAwake);
        }
        self.check_unused()?;
        self.enter(now, Phase::Stopping { failed: false });
        out.push(Action::Stop);
        Ok(())
    }

    /// An administrator freezes it, although its time has not come.
    ///
    /// # Errors
    /// When it is not awake, or somebody needs it.
    pub fn freeze(&mut self, now: Instant, out: &mut Vec<Action>) -> Result<(), AdminError> {
        if self.phase != Phase::Up {
            return Err(AdminError::NotAwake);
        }
        self.check_unused()?;
        self.enter(now, Phase::Freezing);
        out.push(Action::Freeze);
        Ok(())
    }

    /// An administrator thaws it. It freezes again by the usual rules.
    ///
    /// # Errors
    /// When it is not frozen.
    pub fn thaw(&mut self, now: Instant, out: &mut Vec<Action>) -> Result<(), AdminError> {
        if self.phase != Phase::Frozen {
            return Err(AdminError::NotFrozen);
        }
        self.ensure_awake(now, out);
        Ok(())
    }

    /// What holds it where it is, and what happens next.
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
