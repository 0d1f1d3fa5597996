//! The times at which an unused workload freezes and stops.

use std::time::{Duration, Instant};

use super::{Phase, StateMachine};
use crate::time::saturating_add;

impl StateMachine {
    pub(super) fn freeze_at(&self) -> Option<Instant> {
        if self.phase == Phase::Up && self.evictions.is_empty() {
            self.idle_deadline(self.policy.freeze_after?)
        } else {
            None
        }
    }

    pub(super) fn stop_at(&self) -> Option<Instant> {
        let stop_after =
            if self.evictions.is_empty() { self.policy.stop_after } else { Some(Duration::ZERO) };
        self.idle_deadline(stop_after?)
    }

    /// The time at which the workload has been unused for `unused`. `None`: the workload is in use or must not be
    /// stopped.
    pub(super) fn idle_deadline(&self, unused: Duration) -> Option<Instant> {
        (self.may_stop() && !self.is_needed())
            .then(|| saturating_add(self.unused_since, unused).max(self.minimum_uptime_ends()))
    }

    /// The end of the minimum uptime.
    pub(super) fn minimum_uptime_ends(&self) -> Instant {
        let at_once = self.evictions.skips_minimum_uptime();
        saturating_add(self.up_since, if at_once { Duration::ZERO } else { self.policy.minimum_uptime })
    }

    /// Whether the policy allows to stop the workload. By default, a workload that another program started is left
    /// alone.
    pub(super) fn may_stop(&self) -> bool {
        self.policy.stop_foreign || !self.foreign
    }
}
