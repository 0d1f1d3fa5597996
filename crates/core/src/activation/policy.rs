//! The timeouts and limits of a workload.

use std::time::Duration;

use crate::backoff::Backoff;

/// The timeouts and limits of one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The longest time from a start to the first answer.
    pub start_timeout: Duration,
    /// The longest time that a stop, a freeze or a thaw may take. After that the machine assumes that a stop succeeded;
    /// the activator must kill the workload earlier.
    pub stop_timeout: Duration,
    /// Freeze the workload after this time without use. `None`: never.
    pub freeze_after: Option<Duration>,
    /// Stop the workload after this time without use. `None`: never.
    pub stop_after: Option<Duration>,
    /// Keep a started workload running at least this long.
    pub minimum_uptime: Duration,
    /// The pauses after failed starts.
    pub backoff: Backoff,
    /// A run that ends within this time after the first answer is short. A short one that failed counts as a failed start
    /// if the workload would be restarted at once, and so do several short ones in a row.
    pub stable_after: Duration,
    /// Whether to freeze and stop a workload that another program started.
    pub stop_foreign: bool,
}

/// Returns the idle time of a workload with two users who want these: the longer one. `None`: never.
pub fn longer_idle_time(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    Some(one?.max(other?))
}

impl Policy {
    /// The policy of a workload with two users who want these policies: it sleeps when it may sleep for both.
    #[must_use]
    pub fn combined(self, other: &Self) -> Self {
        Self {
            start_timeout: self.start_timeout.max(other.start_timeout),
            stop_timeout: self.stop_timeout.max(other.stop_timeout),
            freeze_after: longer_idle_time(self.freeze_after, other.freeze_after),
            stop_after: longer_idle_time(self.stop_after, other.stop_after),
            minimum_uptime: self.minimum_uptime.max(other.minimum_uptime),
            backoff: self.backoff,
            stable_after: self.stable_after.max(other.stable_after),
            stop_foreign: self.stop_foreign && other.stop_foreign,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            start_timeout: Duration::from_secs(120),
            stop_timeout: Duration::from_secs(30),
            freeze_after: None,
            stop_after: Some(Duration::from_secs(5 * 60)),
            minimum_uptime: Duration::from_secs(60),
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            stable_after: Duration::from_secs(1),
            stop_foreign: false,
        }
    }
}
