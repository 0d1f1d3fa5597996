//! What clients met at a server instead of a connection, counted as `HAProxy` counts it.

use crate::stats::count::Counter;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The same server is tried again.
    Retried,
    /// Another server is tried.
    Left,
    /// Nobody is tried any more: the client was sent away.
    Failed,
}

/// How often it happened at a server.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    retried: Counter,
    left: Counter,
    failed: Counter,
}

/// How often clients met trouble at a server, so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// It was tried once more.
    pub retries: u64,
    /// Another server was tried instead of it.
    pub redispatches: u64,
    /// They were sent away without a connection.
    pub failures: u64,
}

impl Troubles {
    /// Once more.
    pub(super) fn count(&self, trouble: Trouble) {
        match trouble {
            Trouble::Retried => self.retried.inc(),
            Trouble::Left => self.left.inc(),
            Trouble::Failed => self.failed.inc(),
        }
    }

    /// The counts now.
    pub(super) fn tally(&self) -> Tally {
        Tally { retries: self.retried.get(), redispatches: self.left.get(), failures: self.failed.get() }
    }
}
