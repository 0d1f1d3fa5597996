//! The totals of sessions, and the count of those that have a server.

use std::fmt;

use super::counters::Counters;

/// A snapshot of the totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Open sessions.
    pub open: u64,
    /// Sessions since the start.
    pub accepted: u64,
    /// Sessions that no server took.
    pub unserved: u64,
    /// Clients refused at the limit.
    pub refused: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} open, {} accepted, {} not served", self.open, self.accepted, self.unserved)?;
        if self.refused > 0 { write!(f, ", {} refused", self.refused) } else { Ok(()) }
    }
}

/// Counts a session that has a server. Dropping it ends the count.
#[derive(Debug)]
pub struct ServedGuard<'a>(pub(super) &'a Counters);

impl Drop for ServedGuard<'_> {
    fn drop(&mut self) {
        self.0.served.dec();
    }
}
