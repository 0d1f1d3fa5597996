//! Counters for the one thread that serves: a plain load and a plain store. Other threads may only read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A number that one thread changes.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Returns the number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Subtracts one.
    pub fn dec(&self) {
        self.set(self.get().saturating_sub(1));
    }

    /// Adds a number.
    pub fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    /// Raises the number to a minimum.
    pub fn raise_to(&self, value: u64) {
        if self.get() < value {
            self.set(value);
        }
    }

    /// Sets the number.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Events per second: those of the current second, plus the share of the previous one that is less than a second old
/// (like `HAProxy`'s frequency counters).
#[derive(Debug, Default)]
pub struct Rate {
    /// The current second since the start.
    second: Counter,
    current: Counter,
    previous: Counter,
    max: Counter,
}

impl Rate {
    /// Counts an event; `at` is the time since the start.
    pub fn event(&self, at: Duration) {
        self.advance(at);
        self.current.inc();
        self.max.raise_to(self.current.get());
    }

    /// Returns the rate; `at` is the time since the start.
    pub fn now(&self, at: Duration) -> u64 {
        let (current, previous) = match at.as_secs().saturating_sub(self.second.get()) {
            0 => (self.current.get(), self.previous.get()),
            1 => (0, self.current.get()),
            _ => return 0,
        };
        let rest = u64::from(1_000_u32.saturating_sub(at.subsec_millis()));
        current + previous * rest / 1_000
    }

    /// Returns the maximum.
    pub fn max(&self) -> u64 {
        self.max.get()
    }

    /// Resets the maximum to the count of the current second; `at` is the time since the start.
    pub fn reset_max(&self, at: Duration) {
        self.advance(at);
        self.max.set(self.current.get());
    }

    fn advance(&self, at: Duration) {
        let passed = at.as_secs().saturating_sub(self.second.get());
        if passed > 0 {
            self.previous.set(if passed == 1 { self.current.get() } else { 0 });
            self.current.set(0);
            self.second.set(at.as_secs());
        }
    }
}

/// The upper bounds of histogram buckets, in seconds.
pub const BOUNDS: [f64; 14] =
    [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One bucket for each bound, and one for longer durations.
    buckets: [Counter; BOUNDS.len() + 1],
    /// The sum in microseconds.
    sum: Counter,
    max: Counter,
}

impl Histogram {
    /// Adds a duration.
    pub fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.inc();
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum.add(micros);
        self.max.raise_to(micros);
    }

    /// Returns the number of durations up to each of [`BOUNDS`], and the number of all.
    pub fn cumulative(&self) -> [u64; BOUNDS.len() + 1] {
        let mut sum = 0;
        self.buckets.each_ref().map(|bucket| {
            sum += bucket.get();
            sum
        })
    }

    /// Returns the number of durations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Counter::get).sum()
    }

    /// Returns the sum.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum.get())
    }

    /// Returns the maximum.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max.get())
    }

    /// Resets the maximum.
    pub fn reset_max(&self) {
        self.max.set(0);
    }

    /// Returns the mean.
    pub fn mean(&self) -> Duration {
        let count = u32::try_from(self.count()).unwrap_or(u32::MAX);
        self.sum().checked_div(count).unwrap_or_default()
    }
}

/// The time at which counting started.
#[derive(Debug, Clone, Copy)]
pub struct StartTime(Instant);

impl StartTime {
    /// Now.
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// Returns the time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// Returns the time from the start to a moment.
    pub fn since_start(self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_second() {
        let rate = Rate::default();
        for step in 0..10 {
            rate.event(Duration::from_millis(5_000 + step * 100));
        }
        assert_eq!(rate.now(Duration::from_millis(5_950)), 10);
        assert_eq!(rate.now(Duration::from_millis(6_500)), 5);
        assert_eq!(rate.now(Duration::from_secs(8)), 0);
        rate.event(Duration::from_secs(6));
        assert_eq!((rate.now(Duration::from_millis(6_500)), rate.max()), (6, 10));
        rate.event(Duration::from_secs(60));
        assert_eq!(rate.now(Duration::from_secs(60)), 1);
    }

    #[test]
    fn a_reset_keeps_the_count_of_the_current_second() {
        let rate = Rate::default();
        for _ in 0..3 {
            rate.event(Duration::from_millis(5_100));
        }
        rate.reset_max(Duration::from_millis(5_900));
        assert_eq!(rate.max(), 3);
        rate.reset_max(Duration::from_secs(6));
        assert_eq!((rate.max(), rate.now(Duration::from_millis(6_500))), (0, 1));
        rate.event(Duration::from_millis(6_500));
        assert_eq!(rate.max(), 1);
    }

    #[test]
    fn a_histogram_counts_every_duration() {
        let histogram = Histogram::default();
        for millis in [0, 1, 2, 30, 700, 3_600_000] {
            histogram.add(Duration::from_millis(millis));
        }
        let buckets = histogram.cumulative();
        assert_eq!((buckets[0], buckets[2], buckets[BOUNDS.len()]), (1, 2, 6));
        assert_eq!(histogram.count(), 6);
        assert_eq!(histogram.sum(), Duration::from_millis(3_600_733));
        assert_eq!(histogram.max(), Duration::from_secs(3600));
        let mean = Duration::from_micros(600_122_166) + Duration::from_nanos(666);
        assert_eq!(histogram.mean(), mean);
        histogram.reset_max();
        assert_eq!((histogram.max(), histogram.mean(), histogram.count()), (Duration::ZERO, mean, 6));
    }
}
