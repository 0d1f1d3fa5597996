//! How long and how many.

use std::time::Duration;

use crate::backoff::Backoff;

/// The rules of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How long a client is held at most.
    pub hold_timeout: Duration,
    /// How many are held at most.
    pub hold_max: usize,
    /// How long a start may take until it answers.
    pub start_timeout: Duration,
    /// How long a stop may take until it is taken for done; whoever stops kills before that.
    pub stop_timeout: Duration,
    /// It is frozen after so long without use. `None`: never.
    pub freeze_after: Option<Duration>,
    /// It is stopped after so long without use. `None`: never.
    pub stop_after: Option<Duration>,
    /// It is neither frozen nor stopped before it ran for so long.
    pub minimum_uptime: Duration,
    /// How long after a failed start nobody tries again; growing while it keeps failing.
    pub backoff: Backoff,
    /// A crash sooner than so long after it answered counts as a failed start where it would be started again at once.
    pub stable_after: Duration,
    /// Whether it is frozen and stopped even if somebody else has started it.
    pub stop_foreign: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            hold_timeout: Duration::from_secs(30),
            hold_max: 1024,
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
