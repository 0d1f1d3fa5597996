//! Why it sleeps as soon as nobody uses it, whatever its idle times say. Each reason has one writer, and ends for itself.

use std::time::Instant;

use super::{Phase, StateMachine};
use crate::activation::Action;

/// Why a service sleeps as soon as nobody uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// Another waits for its place (an exclusive group). It is given its minimum uptime, so that two that are wanted in
    /// turn do not thrash.
    ExclusiveGroup,
    /// From its next start on it is woken in another way.
    ConfigChanged,
    /// An administrator gives it no more sessions.
    Admin,
}

/// All reasons that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evictions {
    exclusive_group: bool,
    config_changed: bool,
    admin: bool,
}

impl Evictions {
    /// Whether this is one of them.
    pub fn contains(self, why: Eviction) -> bool {
        match why {
            Eviction::ExclusiveGroup => self.exclusive_group,
            Eviction::ConfigChanged => self.config_changed,
            Eviction::Admin => self.admin,
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Whether it does not have its minimum uptime: what somebody has decided does not thrash.
    pub(super) fn skips_minimum_uptime(self) -> bool {
        self.config_changed || self.admin
    }

    /// It rests: its place is free, and its next start is another one. The administrator's word goes on.
    pub(super) fn clear_on_stop(&mut self) {
        *self = Self { admin: self.admin, ..Self::default() };
    }

    fn set(&mut self, why: Eviction, holds: bool) {
        match why {
            Eviction::ExclusiveGroup => self.exclusive_group = holds,
            Eviction::ConfigChanged => self.config_changed = holds,
            Eviction::Admin => self.admin = holds,
        }
    }
}

impl StateMachine {
    /// It is stopped as soon as nobody uses it. What rests has no place to give up and no other start ahead: then only
    /// an administrator's word is kept.
    pub fn evict(&mut self, now: Instant, why: Eviction, out: &mut Vec<Action>) {
        let rests = matches!(self.phase, Phase::Stopped | Phase::Failed { .. });
        if !rests || why == Eviction::Admin {
            self.evictions.set(why, true);
        }
        self.tick(now, out);
    }

    /// This is no reason any more; where it was the last one, the usual rules count again.
    pub fn cancel_eviction(&mut self, why: Eviction) {
        self.evictions.set(why, false);
    }
}
