//! Delays between tries that grow from one try to the next.

use std::time::Duration;

/// A deterministic series of delays: the first one, each further one longer by the same factor, never more than the max.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    /// Each delay is longer than the last one by this part of it.
    growth: (u32, u32),
    next: Duration,
}

impl Backoff {
    /// For polling a TCP target that is still starting: short enough that a quick start is not made slow by waiting
    /// for the next try, long enough that a slow one costs nothing.
    /// Each delay is an eighth of the time since the first try: a start takes no more than that longer, half of it on
    /// the average.
    pub const READINESS: Self =
        Self { growth: (1, 8), ..Self::new(Duration::from_millis(1), Duration::from_millis(50)) };

    /// For looking at a server that nobody waits for.
    pub const BACKGROUND: Self = Self::new(Duration::from_millis(50), Duration::from_secs(5));

    /// A series that starts with `first` and grows to `max`. If `first` is above `max`, all delays are `max`.
    pub const fn new(first: Duration, max: Duration) -> Self {
        let first = if first.as_nanos() > max.as_nanos() { max } else { first };
        Self { first, max, growth: (1, 1), next: first }
    }

    /// How long to wait before the next try.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        let (part, of) = self.growth;
        self.next = delay.saturating_add(delay.saturating_mul(part) / of.max(1)).min(self.max);
        delay
    }

    /// Starts again from the first delay.
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
    fn doubles_up_to_the_cap() {
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(50));
        assert_eq!(millis(&mut backoff, 8), [1, 2, 4, 8, 16, 32, 50, 50]);
        backoff.reset();
        assert_eq!(millis(&mut backoff, 2), [1, 2]);
    }

    #[test]
    fn a_cold_start_is_never_noticed_much_later_than_its_length() {
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
    fn first_above_cap_is_the_cap() {
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
