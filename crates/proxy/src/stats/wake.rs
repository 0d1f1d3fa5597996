//! The counters of a workload: the time in each state, wake-ups and their causes, start times, held clients.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use dormouse_core::activation::State;

use super::count::{Counter, Histogram, StartTime};

/// What woke a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WokenBy {
    /// A client.
    Client,
    /// A keep-warm window.
    KeepWarm,
    /// The load of the other servers.
    Load,
    /// An administrator.
    Administrator,
}

impl WokenBy {
    /// All causes.
    pub const ALL: [Self; 4] = [Self::Client, Self::KeepWarm, Self::Load, Self::Administrator];

    /// Returns the name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::KeepWarm => "keep_warm",
            Self::Load => "load",
            Self::Administrator => "control",
        }
    }
}

/// The last wake-up.
#[derive(Debug, Clone)]
pub struct Woken {
    /// The cause.
    pub by: WokenBy,
    /// The client as part of a sentence, if a client woke it.
    pub client: Option<String>,
    /// The wall-clock time.
    pub at: SystemTime,
}

impl fmt::Display for Woken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.by, &self.client) {
            (WokenBy::Client, Some(client)) => f.write_str(client),
            (WokenBy::Client, None) => f.write_str("a client"),
            (WokenBy::KeepWarm, _) => f.write_str("a keep_warm window"),
            (WokenBy::Load, _) => f.write_str("the load of the other servers (soft)"),
            (WokenBy::Administrator, _) => f.write_str("an administrator"),
        }
    }
}

/// The counters of a workload.
#[derive(Debug)]
pub struct WakeCounters {
    start_time: StartTime,
    /// The current state as an index of [`State::ALL`], and the time of its start in microseconds.
    state: Counter,
    changed: Counter,
    /// Microseconds in each state, without the current stay.
    spent: [Counter; State::ALL.len()],
    /// The durations of successful starts.
    pub cold_starts: Histogram,
    /// Failed starts.
    pub failed_starts: Counter,
    /// Freezes.
    pub freezes: Counter,
    /// The waiting times of held clients that were served.
    pub holds: Histogram,
    /// Held clients that were not served.
    pub failed_holds: Counter,
    /// The maximum of clients held at once.
    pub max_held: Counter,
    wakes: [Counter; WokenBy::ALL.len()],
}

impl Default for WakeCounters {
    fn default() -> Self {
        Self {
            start_time: StartTime::now(),
            state: Counter::default(),
            changed: Counter::default(),
            spent: Default::default(),
            cold_starts: Histogram::default(),
            failed_starts: Counter::default(),
            freezes: Counter::default(),
            holds: Histogram::default(),
            failed_holds: Counter::default(),
            max_held: Counter::default(),
            wakes: Default::default(),
        }
    }
}

impl WakeCounters {
    /// Records a change of the state.
    pub fn record_state(&self, state: State, now: Instant) {
        let now = micros(self.start_time.since_start(now));
        if let Some(spent) = self.spent.get(usize::try_from(self.state.get()).unwrap_or_default()) {
            spent.add(now.saturating_sub(self.changed.get()));
        }
        self.changed.set(now);
        self.state.set(index(state));
        if state == State::Frozen {
            self.freezes.inc();
        }
    }

    /// Returns the total time in a state until now.
    pub fn spent(&self, state: State, now: Instant) -> Duration {
        let index = index(state);
        let completed = self.spent.get(usize::try_from(index).unwrap_or_default()).map_or(0, Counter::get);
        let current = if self.state.get() == index {
            micros(self.start_time.since_start(now)).saturating_sub(self.changed.get())
        } else {
            0
        };
        Duration::from_micros(completed + current)
    }

    /// Counts a wake-up.
    pub fn count_wake(&self, by: WokenBy) {
        if let Some(count) =
            WokenBy::ALL.iter().position(|other| *other == by).and_then(|i| self.wakes.get(i))
        {
            count.inc();
        }
    }

    /// Resets the maxima; `held` is the number of clients held now.
    pub fn reset_max(&self, held: usize) {
        self.max_held.set(u64::try_from(held).unwrap_or(u64::MAX));
        self.holds.reset_max();
        self.cold_starts.reset_max();
    }

    /// Returns the number of wake-ups with a cause.
    pub fn wakes(&self, by: WokenBy) -> u64 {
        WokenBy::ALL
            .iter()
            .position(|other| *other == by)
            .and_then(|i| self.wakes.get(i))
            .map_or(0, Counter::get)
    }
}

fn index(state: State) -> u64 {
    let index = State::ALL.iter().position(|other| *other == state);
    index.and_then(|index| u64::try_from(index).ok()).unwrap_or_default()
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_in_all_states_add_up() {
        let counters = WakeCounters::default();
        let began = Instant::now();
        let mut now = began;
        for (state, millis) in [(State::Starting, 10), (State::Ready, 200), (State::Frozen, 3_000)] {
            now += Duration::from_millis(millis);
            counters.record_state(state, now);
        }
        now += Duration::from_secs(7);
        let total: Duration = State::ALL.iter().map(|state| counters.spent(*state, now)).sum();
        assert!(total >= now - began && total < now - began + Duration::from_secs(1), "{total:?}");
        assert_eq!(counters.spent(State::Starting, now), Duration::from_millis(200));
        assert_eq!(counters.spent(State::Frozen, now), Duration::from_secs(7));
        assert_eq!(counters.freezes.get(), 1);
    }

    #[test]
    fn wakes_are_counted_by_their_cause() {
        let counters = WakeCounters::default();
        counters.count_wake(WokenBy::Client);
        counters.count_wake(WokenBy::Administrator);
        assert_eq!((counters.wakes(WokenBy::Client), counters.wakes(WokenBy::Load)), (1, 0));
    }
}
