//! Delays between attempts that grow from one attempt to the next.

use std::time::Duration;

/// A deterministic series of delays: each delay is longer than the previous one by the same factor, up to `max`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    /// The part of a delay that is added to get the next one, as numerator and denominator.
    growth: (u32, u32),
    next: Duration,
}

impl Backoff {
    /// For probing a server that is starting. Each delay is an eighth of the time since the first attempt, so the probe
    /// adds at most an eighth to the start time, and a slow start costs few attempts.
    pub const READINESS: Self =
        Self { growth: (1, 8), ..Self::new(Duration::from_millis(1), Duration::from_millis(50)) };

    /// For probing a server without a waiting client.
    pub const BACKGROUND: Self = Self::new(Duration::from_millis(50), Duration::from_secs(5));

    /// Creates a series that starts with `first` and grows to `max`. If `first` is above `max`, all delays are `max`.
    pub const fn new(first: Duration, max: Duration) -> Self {
        let first = if first.as_nanos() > max.as_nanos() { max } else { first };
        Self { first, max, growth: (1, 1), next: first }
    }

    /// Returns the delay before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        let (part, of) = self.growth;
        self.next = delay.saturating_add(delay.saturating_mul(part) / of.max(1)).min(self.max);
        delay
    }

    /// Restarts the series.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(backoff: &mut Backoff, count: usize) -> Vec<u128> {
        (0..count).map(|_| backoff.next_delay().as_millis()).collect()
    }

    #[test]
    fn delays_double_up_to_the_maximum() {
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(50));
        assert_eq!(millis(&mut backoff, 8), [1, 2, 4, 8, 16, 32, 50, 50]);
        backoff.reset();
        assert_eq!(millis(&mut backoff, 2), [1, 2]);
    }

    #[test]
    fn readiness_is_noticed_within_an_eighth_of_the_start_time() {
        let (mut backoff, mut passed) = (Backoff::READINESS, Duration::ZERO);
        for tries in 0.. {
            let delay = backoff.next_delay();
            assert!(delay <= Duration::from_millis(1) + passed / 7, "{delay:?} after {passed:?}");
            passed += delay;
            if delay == Duration::from_millis(50) {
                assert!(tries < 40, "{tries} tries");
                break;
            }
        }
    }

    #[test]
    fn a_first_delay_above_the_maximum_is_the_maximum() {
        let mut backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(1));
        assert_eq!(millis(&mut backoff, 2), [1000, 1000]);
    }

    #[test]
    fn huge_delays_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
        assert_eq!(backoff.next_delay(), Duration::MAX);
        assert_eq!(backoff.next_delay(), Duration::MAX);
    }
}
