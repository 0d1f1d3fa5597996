//! The limit of what a workload may write to the log: lines and bytes in a period, as that of systemd-journald
//! (`RateLimitBurst=`, `RateLimitIntervalSec=`).

use std::time::{Duration, Instant};

/// The length of a period.
pub(super) const PERIOD: Duration = Duration::from_secs(30);
/// The lines in a period.
pub(super) const LINES: u64 = 10_000;
/// The bytes in a period.
pub(super) const BYTES: u64 = 4 << 20;

/// Counts what a workload writes.
#[derive(Debug, Default)]
pub(super) struct Limit {
    /// The start of the period.
    since: Option<Instant>,
    logged: Amount,
    suppressed: Amount,
    /// The end of the period in which output was suppressed first.
    report_due: Option<Instant>,
}

/// An amount of output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

impl Amount {
    fn add(&mut self, more: Self) {
        self.lines = self.lines.saturating_add(more.lines);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

impl Limit {
    /// Returns whether a line of this many bytes may be logged, and counts it.
    pub(super) fn admit(&mut self, bytes: u64, now: Instant) -> bool {
        let admitted = !self.is_exhausted(now);
        let line = Amount { lines: 1, bytes };
        if admitted {
            self.logged.add(line);
        } else {
            self.discard(line, now);
        }
        admitted
    }

    /// Counts output that is not logged.
    pub(super) fn discard(&mut self, amount: Amount, now: Instant) {
        self.suppressed.add(amount);
        if self.report_due.is_none() {
            self.report_due = self.since.unwrap_or(now).checked_add(PERIOD);
        }
    }

    /// Returns whether nothing more may be logged in this period.
    pub(super) fn is_exhausted(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= PERIOD) {
            self.since = Some(now);
            self.logged = Amount::default();
        }
        self.logged.lines >= LINES || self.logged.bytes >= BYTES
    }

    /// Returns when to report what was suppressed: at the end of the period.
    pub(super) fn report_due(&self) -> Option<Instant> {
        self.report_due
    }

    /// Returns what was suppressed since the last report.
    pub(super) fn take_report(&mut self) -> Option<Amount> {
        self.report_due.take().map(|_| std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_limited_in_each_period() {
        let mut limit = Limit::default();
        let start = Instant::now();
        for period in 0..3 {
            let now = start + PERIOD * period;
            let admitted = (0..LINES + 5).filter(|_| limit.admit(2, now)).count();
            assert_eq!(admitted as u64, LINES);
            assert!(limit.is_exhausted(now));
            assert_eq!(limit.report_due(), Some(now + PERIOD));
            assert_eq!(limit.take_report(), Some(Amount { lines: 5, bytes: 10 }));
            assert_eq!((limit.report_due(), limit.take_report()), (None, None));
        }
    }

    #[test]
    fn a_new_period_does_not_put_the_report_off() {
        let mut limit = Limit::default();
        let start = Instant::now();
        for _ in 0..=LINES {
            limit.admit(2, start);
        }
        assert!(limit.admit(2, start + PERIOD));
        assert_eq!(limit.report_due(), Some(start + PERIOD));
    }

    #[test]
    fn bytes_are_limited_too() {
        let mut limit = Limit::default();
        let now = Instant::now();
        let admitted = (0..LINES).filter(|_| limit.admit(4096, now)).count();
        assert_eq!(admitted as u64, BYTES / 4096);
        limit.discard(Amount { lines: 3, bytes: 100 }, now);
        let suppressed = LINES - BYTES / 4096;
        let expected = Amount { lines: suppressed + 3, bytes: suppressed * 4096 + 100 };
        assert_eq!(limit.take_report(), Some(expected));
    }
}
