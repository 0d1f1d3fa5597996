//! What an administrator does to it, and what is to be told of it.

use std::time::{Duration, Instant};

use super::{Evictions, Machine, Phase};
use crate::service::Action;

/// Why a service cannot be put to sleep now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNow {
    /// It is not awake, or on its way.
    NotAwake,
    /// So many sessions use it, or clients wait for it.
    Used(usize),
    /// It is wanted awake at this time.
    KeptWarm,
    /// It is not frozen.
    NotFrozen,
}

/// What holds a service where it is, and what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// Sessions that have a lease.
    pub leases: usize,
    /// Those that count as use.
    pub in_use: usize,
    /// Clients that wait.
    pub held: usize,
    /// It is wanted awake at this time.
    pub kept_warm: bool,
    /// Why it sleeps as soon as nobody uses it.
    pub evictions: Evictions,
    /// Somebody else has started it.
    pub foreign: bool,
    /// It may sleep at all as far as whoever started it is concerned.
    pub may_stop: bool,
    /// Not before this moment, because of its minimum uptime.
    pub mature_at: Instant,
    /// When it freezes if nobody comes.
    pub freezes_at: Option<Instant>,
    /// When it stops if nobody comes.
    pub stops_at: Option<Instant>,
    /// How long without use until it freezes, if it does at all.
    pub freeze_after: Option<Duration>,
    /// How long without use until it stops, if it does at all.
    pub stop_after: Option<Duration>,
    /// When what is under way is given up: a start, a stop.
    pub due: Option<Instant>,
    /// Until when a failed start is not repeated.
    pub retry_at: Option<Instant>,
}

impl Machine {
    /// An administrator stops it, although its time has not come, and whoever has started it.
    ///
    /// # Errors
    /// When it is not awake, or somebody needs it.
    pub fn sleep(&mut self, now: Instant, out: &mut Vec<Action>) -> Result<(), NotNow> {
        if !matches!(self.phase, Phase::Up | Phase::Frozen) {
            return Err(NotNow::NotAwake);
        }
        self.is_free()?;
        self.enter(now, Phase::Stopping { failed: false });
        out.push(Action::Stop);
        Ok(())
    }

    /// An administrator freezes it, although its time has not come.
    ///
    /// # Errors
    /// When it is not awake, or somebody needs it.
    pub fn freeze(&mut self, now: Instant, out: &mut Vec<Action>) -> Result<(), NotNow> {
        if self.phase != Phase::Up {
            return Err(NotNow::NotAwake);
        }
        self.is_free()?;
        self.enter(now, Phase::Freezing);
        out.push(Action::Freeze);
        Ok(())
    }

    /// An administrator thaws it. It freezes again by the usual rules.
    ///
    /// # Errors
    /// When it is not frozen.
    pub fn thaw(&mut self, now: Instant, out: &mut Vec<Action>) -> Result<(), NotNow> {
        if self.phase != Phase::Frozen {
            return Err(NotNow::NotFrozen);
        }
        self.wanted(now, out);
        Ok(())
    }

    /// What holds it where it is, and what happens next.
    pub fn outlook(&self) -> Outlook {
        let retry_at = match self.phase {
            Phase::Failed { until } => Some(until),
            _ => None,
        };
        let awake = matches!(self.phase, Phase::Up | Phase::Frozen);
        Outlook {
            leases: self.leases,
            in_use: self.in_use,
            held: self.waiting.len(),
            kept_warm: self.kept_warm,
            evictions: self.evictions,
            foreign: self.foreign,
            may_stop: self.may_stop(),
            mature_at: self.mature_at(),
            freezes_at: self.freezes_at(),
            stops_at: self.stops_at().filter(|_| awake),
            freeze_after: self.policy.freeze_after,
            stop_after: self.policy.stop_after,
            due: self.gives_up_at(),
            retry_at,
        }
    }

    fn is_free(&self) -> Result<(), NotNow> {
        match self.in_use + self.waiting.len() {
            0 if self.kept_warm => Err(NotNow::KeptWarm),
            0 => Ok(()),
            used => Err(NotNow::Used(used)),
        }
    }
}
