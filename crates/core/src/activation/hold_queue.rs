//! The queue of held clients, first come, first served.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::Port;

/// Identifies one held client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(u64);

/// A held client.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    port: Port,
    deadline: Instant,
    may_wake: bool,
}

/// The held clients of all ports. Each has a deadline of its own.
#[derive(Debug, Default)]
pub(super) struct HoldQueue {
    /// In the order of their arrival.
    waiting: BTreeMap<WaiterId, Waiting>,
    deadlines: BTreeSet<(Instant, WaiterId)>,
    issued: u64,
}

impl HoldQueue {
    pub(super) fn push(&mut self, port: Port, deadline: Instant, may_wake: bool) -> WaiterId {
        self.issued += 1;
        let waiter = WaiterId(self.issued);
        self.waiting.insert(waiter, Waiting { port, deadline, may_wake });
        self.deadlines.insert((deadline, waiter));
        waiter
    }

    /// Removes a client. Returns its port.
    pub(super) fn remove(&mut self, waiter: WaiterId) -> Option<Port> {
        let Waiting { port, deadline, .. } = self.waiting.remove(&waiter)?;
        self.deadlines.remove(&(deadline, waiter));
        Some(port)
    }

    /// Removes the client that came first.
    pub(super) fn pop(&mut self) -> Option<(WaiterId, Port)> {
        let waiter = *self.waiting.keys().next()?;
        Some((waiter, self.remove(waiter)?))
    }

    /// Removes a client whose deadline has passed.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<(WaiterId, Port)> {
        let (_, waiter) = *self.deadlines.first().filter(|(deadline, _)| *deadline <= now)?;
        Some((waiter, self.remove(waiter)?))
    }

    /// Returns the clients of the ports that `wanted` selects, in the order of their arrival.
    pub(super) fn of(&self, wanted: impl Fn(Port) -> bool) -> Vec<WaiterId> {
        self.waiting.iter().filter(|(_, waiting)| wanted(waiting.port)).map(|(waiter, _)| *waiter).collect()
    }

    /// Returns whether one of the clients may wake the workload.
    pub(super) fn has_waker(&self) -> bool {
        self.waiting.values().any(|waiting| waiting.may_wake)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
