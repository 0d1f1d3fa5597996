//! How often and how long no server took sessions.

use std::time::{Duration, Instant};

/// Whether a server takes sessions, since when, and how often and how long none did.
#[derive(Debug, Clone, Copy)]
pub struct Outages {
    usable: bool,
    /// When the present state began.
    pub since: Instant,
    /// The number of times that all servers together stopped taking sessions.
    pub count: u64,
    before: Duration,
}

impl Outages {
    pub(super) fn new(usable: bool, now: Instant) -> Self {
        Self { usable, since: now, count: 0, before: Duration::ZERO }
    }

    /// Returns how long no server took sessions, including a present outage.
    pub fn lasted(&self, now: Instant) -> Duration {
        let present = if self.usable { Duration::ZERO } else { now.saturating_duration_since(self.since) };
        self.before + present
    }

    /// Records whether a server takes sessions now.
    pub(super) fn note(&mut self, now: Instant, usable: bool) {
        if usable != self.usable {
            self.before = self.lasted(now);
            self.count += u64::from(!usable);
            (self.usable, self.since) = (usable, now);
        }
    }
}
