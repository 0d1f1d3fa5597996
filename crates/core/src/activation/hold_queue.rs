//! The queue of held clients, first come, first served.

use std::collections::VecDeque;
use std::time::Instant;

/// Identifies one held client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(u64);

/// The held clients. The front also has the earliest deadline: after a change of the policy, a later client still waits
/// at least as long as the clients before it.
#[derive(Debug, Default)]
pub(super) struct HoldQueue {
    queue: VecDeque<(WaiterId, Instant)>,
    issued: u64,
}

impl HoldQueue {
    pub(super) fn push(&mut self, deadline: Instant) -> WaiterId {
        let deadline = self.queue.back().map_or(deadline, |(_, last)| deadline.max(*last));
        self.issued += 1;
        let waiter = WaiterId(self.issued);
        self.queue.push_back((waiter, deadline));
        waiter
    }

    pub(super) fn remove(&mut self, waiter: WaiterId) -> bool {
        let place = self.queue.iter().position(|(id, _)| *id == waiter);
        place.and_then(|place| self.queue.remove(place)).is_some()
    }

    pub(super) fn pop(&mut self) -> Option<WaiterId> {
        self.queue.pop_front().map(|(waiter, _)| waiter)
    }

    /// Removes the front if its deadline has passed.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<WaiterId> {
        self.deadline().filter(|deadline| *deadline <= now)?;
        self.pop()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.queue.front().map(|(_, deadline)| *deadline)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
