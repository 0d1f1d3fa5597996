//! What is counted of a server that sleeps: how long in which state, who woke it, what that took, who waited.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use dormouse_core::service::State;

use super::count::{Counter, Histogram, StartTime};

/// What wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WokenBy {
    /// A client.
    Client,
    /// The time of day: it is kept warm.
    KeepWarm,
    /// The load of the servers before it.
    Load,
    /// An administrator.
    Control,
}

impl WokenBy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Client, Self::KeepWarm, Self::Load, Self::Control];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::KeepWarm => "keep_warm",
            Self::Load => "load",
            Self::Control => "control",
        }
    }
}

/// The last wake-up.
#[derive(Debug, Clone)]
pub struct Woken {
    /// What did it.
    pub by: WokenBy,
    /// Which client it was, if it was one and is known.
    pub who: Option<String>,
    /// When, on the wall.
    pub at: SystemTime,
}

impl fmt::Display for Woken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.by, &self.who) {
            (WokenBy::Client, Some(who)) => write!(f, "the client {who}"),
            (WokenBy::Client, None) => f.write_str("a client"),
            (WokenBy::KeepWarm, _) => f.write_str("the time of day (keep_warm)"),
            (WokenBy::Load, _) => f.write_str("the load of the other servers (soft)"),
            (WokenBy::Control, _) => f.write_str("an administrator"),
        }
    }
}

/// What is counted of a server that sleeps.
#[derive(Debug)]
pub struct WakeCounters {
    start_time: StartTime,
    /// The state now, as an index of [`State::ALL`], and since when, in microseconds.
    state: Counter,
    changed: Counter,
    /// Microseconds in each state, without what is not over.
    spent: [Counter; State::ALL.len()],
    /// Starts that succeeded, by how long they took.
    pub cold_starts: Histogram,
    /// Starts that did not.
    pub failed_starts: Counter,
    /// How often it was frozen.
    pub freezes: Counter,
    /// Clients that waited for it and got it, by how long they waited.
    pub holds: Histogram,
    /// Clients that waited and did not get it.
    pub failed_holds: Counter,
    /// The most that waited at once.
    pub max_held: Counter,
    wakes: [Counter; WokenBy::ALL.len()],
    woken: Mutex<Option<Woken>>,
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
            woken: Mutex::new(None),
        }
    }
}

impl WakeCounters {
    /// The state changed.
    pub fn change(&self, state: State, now: Instant) {
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

    /// How long it was in this state, all together, until now.
    pub fn spent(&self, state: State, now: Instant) -> Duration {
        let index = index(state);
        let over = self.spent.get(usize::try_from(index).unwrap_or_default()).map_or(0, Counter::get);
        let going_on = if self.state.get() == index {
            micros(self.start_time.since_start(now)).saturating_sub(self.changed.get())
        } else {
            0
        };
        Duration::from_micros(over + going_on)
    }

    /// It is being woken.
    pub fn wake(&self, by: WokenBy) {
        if let Some(count) =
            WokenBy::ALL.iter().position(|other| *other == by).and_then(|i| self.wakes.get(i))
        {
            count.inc();
        }
        *self.lock() = Some(Woken { by, who: None, at: SystemTime::now() });
    }

    /// The maxima begin anew; `held`: so many wait now.
    pub fn reset_max(&self, held: usize) {
        self.max_held.set(u64::try_from(held).unwrap_or(u64::MAX));
        self.holds.reset_max();
        self.cold_starts.reset_max();
    }

    /// It was this client that has just woken it.
    pub fn woken_by(&self, who: String) {
        if let Some(woken) = self.lock().as_mut().filter(|woken| woken.by == WokenBy::Client) {
            woken.who = Some(who);
        }
    }

    /// The last wake-up.
    pub fn woken(&self) -> Option<Woken> {
        self.lock().clone()
    }

    /// How often it was woken by this.
    pub fn wakes(&self, by: WokenBy) -> u64 {
        WokenBy::ALL
            .iter()
            .position(|other| *other == by)
            .and_then(|i| self.wakes.get(i))
            .map_or(0, Counter::get)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Woken>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn the_time_in_all_states_is_the_time_that_passed() {
        let counters = WakeCounters::default();
        let began = Instant::now();
        let mut now = began;
        for (state, millis) in [(State::Starting, 10), (State::Ready, 200), (State::Frozen, 3_000)] {
            now += Duration::from_millis(millis);
            counters.change(state, now);
        }
        now += Duration::from_secs(7);
        let total: Duration = State::ALL.iter().map(|state| counters.spent(*state, now)).sum();
        assert!(total >= now - began && total < now - began + Duration::from_secs(1), "{total:?}");
        assert_eq!(counters.spent(State::Starting, now), Duration::from_millis(200));
        assert_eq!(counters.spent(State::Frozen, now), Duration::from_secs(7));
        assert_eq!(counters.freezes.get(), 1);
    }

    #[test]
    fn who_woke_it_is_remembered() {
        let counters = WakeCounters::default();
        counters.wake(WokenBy::Client);
        counters.woken_by("192.0.2.1:5".to_owned());
        assert_eq!(counters.woken().unwrap().to_string(), "the client 192.0.2.1:5");
        counters.wake(WokenBy::Control);
        counters.woken_by("nobody".to_owned());
        assert_eq!(counters.woken().unwrap().to_string(), "an administrator");
        assert_eq!((counters.wakes(WokenBy::Client), counters.wakes(WokenBy::Load)), (1, 0));
    }
}
