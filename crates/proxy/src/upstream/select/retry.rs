//! How often servers are tried, and how often clients had to try again, counted as `HAProxy` counts it.

use std::time::Duration;

use dormouse_config::model::ServiceConfig;
use dormouse_core::timespan::TimeSpan;

use crate::stats::count::Counter;

/// `HAProxy`'s time before it tries a server again that refused a connection.
const TURN_AROUND: Duration = Duration::from_secs(1);

/// How often and how long servers are tried.
#[derive(Debug, Clone, Copy)]
pub(in crate::upstream) struct RetryRules {
    pub(in crate::upstream) retries: u32,
    pub(in crate::upstream) redispatch: bool,
    pub(in crate::upstream) queue_timeout: TimeSpan,
    /// How long a server that refused a connection is tried in one retry.
    pub(in crate::upstream) turn_around: Duration,
}

impl RetryRules {
    pub(super) fn new(config: &ServiceConfig) -> Self {
        Self {
            retries: config.retries,
            redispatch: config.redispatch,
            queue_timeout: config.queue.timeout,
            turn_around: config.timeouts.connect.unwrap_or(TURN_AROUND).min(TURN_AROUND),
        }
    }
}

/// What happened to a client at a server that did not take its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upstream) enum RetryEvent {
    /// The client tries the same server again.
    Retried,
    /// The client tries another server.
    Redispatched,
    /// The client was refused.
    Failed,
}

/// The counters of one server.
#[derive(Debug, Default)]
pub(super) struct RetryCounters {
    retries: Counter,
    redispatches: Counter,
    failures: Counter,
}

/// How often clients had to try again at a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryCounts {
    /// The number of further attempts at this server.
    pub retries: u64,
    /// The number of clients that went to another server.
    pub redispatches: u64,
    /// The number of clients that were refused without a connection.
    pub failures: u64,
}

impl RetryCounters {
    pub(super) fn count(&self, event: RetryEvent) {
        match event {
            RetryEvent::Retried => self.retries.inc(),
            RetryEvent::Redispatched => self.redispatches.inc(),
            RetryEvent::Failed => self.failures.inc(),
        }
    }

    /// Returns the counts now.
    pub(super) fn get(&self) -> RetryCounts {
        RetryCounts {
            retries: self.retries.get(),
            redispatches: self.redispatches.get(),
            failures: self.failures.get(),
        }
    }
}
