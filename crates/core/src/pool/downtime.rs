//! The downtime of a server.

use std::time::{Duration, Instant};

/// The total time in which a server was down or in maintenance.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Downtime {
    /// The total before the current downtime.
    before: Duration,
    /// The start of the current downtime.
    since: Option<Instant>,
}

impl Downtime {
    pub(super) fn total(&self, now: Instant) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Starts or stops the clock.
    pub(super) fn update(&mut self, now: Instant, is_down: bool) {
        match self.since {
            None if is_down => self.since = Some(now),
            Some(_) if !is_down => *self = Self { before: self.total(now), since: None },
            _ => {}
        }
    }
}
