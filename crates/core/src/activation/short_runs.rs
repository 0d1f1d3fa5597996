//! Runs that end by themselves as soon as they are ready, one after another.

use std::time::Duration;

use crate::backoff::Backoff;

/// The number of such runs in a row that are followed by a start at once, as the burst of systemd's start limit
/// (systemd.unit(5), `StartLimitBurst=`).
const BURST: u32 = 5;
/// The pauses between the starts after that. A held client outlives the longest one with the default hold timeout.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));

/// A pause before the next start, because several runs in a row ended at once and served nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// The number of these runs.
    pub runs: u32,
    /// Whether it is the first pause after runs that were no reason for one.
    pub is_first: bool,
}

/// Counts short runs that served nobody. A program that ends after each client that it served has none.
#[derive(Debug)]
pub(super) struct ShortRuns {
    in_a_row: u32,
    /// A client was served in the present run.
    served: bool,
    pauses: Backoff,
    /// The pause in progress is one between short runs.
    paused: bool,
}

impl Default for ShortRuns {
    fn default() -> Self {
        Self { in_a_row: 0, served: false, pauses: PAUSES, paused: false }
    }
}

impl ShortRuns {
    /// A run begins.
    pub(super) fn begin_run(&mut self) {
        self.served = false;
    }

    /// A client was served, in the present run or in the one before. Returns whether that ends a pause.
    pub(super) fn mark_served(&mut self) -> bool {
        let paused = self.paused;
        *self = Self { served: true, ..Self::default() };
        paused
    }

    /// A run has ended by itself. Returns the pause before the next start, if there is one.
    pub(super) fn end_run(&mut self, is_short: bool) -> Option<Duration> {
        if !is_short || self.served {
            *self = Self::default();
            return None;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        (self.in_a_row > BURST).then(|| self.pauses.next_delay())
    }

    /// A pause after short runs begins, or any pause ends.
    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Returns the pause in progress.
    pub(super) fn pause(&self) -> Option<Pause> {
        self.paused.then_some(Pause { runs: self.in_a_row, is_first: self.in_a_row == BURST + 1 })
    }

    /// Forgets all runs.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}
