//! A member of a workload: one server of one service that leads to it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::stats::wake::WakeCounters;

/// How a server of one service uses the workload.
#[derive(Debug)]
pub(in crate::upstream) struct Member {
    /// The server's name in the log.
    pub(in crate::upstream) name: String,
    /// The statistics of the starts that its clients caused, and of its waiting clients.
    pub(in crate::upstream) counters: Arc<WakeCounters>,
    /// Notified when a waiting slot of its service becomes free.
    pub(in crate::upstream) capacity: Arc<Notify>,
    /// Which clients it holds.
    pub(in crate::upstream) hold: HoldLimits,
    /// Whether it has sent a byte since the last start.
    pub(super) has_sent: bool,
}

/// How long, and how many, clients are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upstream) struct HoldLimits {
    /// The longest time that a client is held.
    pub(in crate::upstream) timeout: Duration,
    /// The largest number of held clients.
    pub(in crate::upstream) max: usize,
}

/// A server that leads to the workload of another one, with its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharer {
    /// The server's name in the log: that of its service, and where this has several servers also its own.
    pub name: String,
    /// The number of its leases.
    pub leases: usize,
    /// The number of its clients that wait for a lease.
    pub held: usize,
}

impl Member {
    pub(in crate::upstream) fn new(
        name: String,
        counters: Arc<WakeCounters>,
        capacity: Arc<Notify>,
        hold: HoldLimits,
    ) -> Self {
        Self { name, counters, capacity, hold, has_sent: false }
    }
}
