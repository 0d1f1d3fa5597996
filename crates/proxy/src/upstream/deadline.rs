//! The time until which a client waits for a server.

use std::future::pending;
use std::time::Duration;

use dormouse_core::timespan::TimeSpan;
use tokio::time::{Instant, sleep_until};

/// The time until which a client waits, over all steps on its way to a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    since: Instant,
    at: Option<Instant>,
}

impl Deadline {
    /// Returns a deadline that is `wait` away from now.
    pub(super) fn new(wait: TimeSpan) -> Self {
        let since = Instant::now();
        Self { since, at: wait.finite().and_then(|wait| since.checked_add(wait)) }
    }

    /// Returns when the client stops waiting. `None`: never.
    pub(super) fn at(self) -> Option<Instant> {
        self.at
    }

    /// Returns how long the client has waited so far.
    pub(super) fn waited(self) -> Duration {
        self.since.elapsed()
    }

    /// Returns whether the client has no time left.
    pub(super) fn is_over(self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    /// Returns whether the client does not wait at all: holding is turned off.
    pub(super) fn is_immediate(self) -> bool {
        self.at == Some(self.since)
    }

    /// Returns the same deadline without an end, for a caller that checks the end itself. An immediate deadline stays
    /// immediate.
    pub(super) fn without_end(self) -> Self {
        if self.is_immediate() { self } else { Self { at: None, ..self } }
    }

    /// Returns the deadline of one round of attempts, which lasts `span`. `within`: the round also ends at this
    /// deadline.
    pub(super) fn of_round(self, span: Duration, within: bool) -> Self {
        let end = Instant::now().checked_add(span);
        let at = if within { end.into_iter().chain(self.at).min() } else { end };
        Self { since: self.since, at }
    }

    /// Waits until the deadline, or for ever if it has no end.
    pub(super) async fn expired(self) {
        match self.at {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
    }
}
