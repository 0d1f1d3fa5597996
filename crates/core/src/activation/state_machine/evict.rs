//! Reasons to stop a workload as soon as it is unused, no matter what its idle times are. Each reason is set and
//! cancelled independently of the others.

use std::time::Instant;

use super::{Phase, StateMachine};
use crate::activation::Action;

/// Why a workload is stopped as soon as it is unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// Another workload of the exclusive group waits. The minimum uptime still applies, so that two workloads in
    /// alternating demand do not thrash.
    ExclusiveGroup,
    /// The next start uses another activator.
    ConfigChanged,
    /// An administrator drains all ports.
    Admin,
}

/// The set of active reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evictions {
    exclusive_group: bool,
    config_changed: bool,
    admin: bool,
}

impl Evictions {
    /// Whether this reason is active.
    pub fn contains(self, why: Eviction) -> bool {
        match why {
            Eviction::ExclusiveGroup => self.exclusive_group,
            Eviction::ConfigChanged => self.config_changed,
            Eviction::Admin => self.admin,
        }
    }

    /// Whether no reason is active.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Whether the stop ignores the minimum uptime: a decision of a person does not thrash.
    pub(super) fn skips_minimum_uptime(self) -> bool {
        self.config_changed || self.admin
    }

    /// Clears the reasons that a stop fulfils. The administrator's reason stays.
    pub(super) fn clear_on_stop(&mut self) {
        *self = Self { admin: self.admin, ..Self::default() };
    }

    pub(super) fn set_admin(&mut self, active: bool) {
        self.admin = active;
    }

    fn set(&mut self, why: Eviction, active: bool) {
        match why {
            Eviction::ExclusiveGroup => self.exclusive_group = active,
            Eviction::ConfigChanged => self.config_changed = active,
            Eviction::Admin => self.admin = active,
        }
    }
}

impl StateMachine {
    /// Stops the workload as soon as it is unused. A workload that does not run only records the administrator's
    /// reason, because the other reasons are already fulfilled.
    pub fn evict(&mut self, now: Instant, why: Eviction, out: &mut Vec<Action>) {
        let is_stopped = matches!(self.phase, Phase::Stopped | Phase::Failed { .. });
        if !is_stopped || why == Eviction::Admin {
            self.evictions.set(why, true);
        }
        self.tick(now, out);
    }

    /// Cancels a reason. Without a reason the usual idle rules apply again.
    pub fn cancel_eviction(&mut self, why: Eviction) {
        self.evictions.set(why, false);
    }
}
