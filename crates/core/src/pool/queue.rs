//! The queue of sessions that wait for a server, first come, first served.

use std::collections::BTreeMap;

use super::balance::PickContext;

/// Identifies a waiting session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(u64);

/// The queue.
#[derive(Debug)]
pub struct Queue {
    waiting: BTreeMap<WaiterId, PickContext>,
    issued: u64,
    max: usize,
}

impl Queue {
    /// Creates a queue for at most `max` sessions.
    pub fn new(max: usize) -> Self {
        Self { waiting: BTreeMap::new(), issued: 0, max }
    }

    /// Appends a session. `None`: the queue is full.
    pub fn enter(&mut self, context: PickContext) -> Option<WaiterId> {
        if self.is_full() {
            return None;
        }
        self.issued += 1;
        let waiter = WaiterId(self.issued);
        self.waiting.insert(waiter, context);
        Some(waiter)
    }

    /// Removes a session. Returns whether it was still in the queue.
    pub fn cancel(&mut self, waiter: WaiterId) -> bool {
        self.waiting.remove(&waiter).is_some()
    }

    /// The first session.
    pub fn first(&self) -> Option<(WaiterId, PickContext)> {
        self.waiting.first_key_value().map(|(waiter, context)| (*waiter, *context))
    }

    /// The number of waiting sessions.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no session waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the queue is full.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= self.max
    }
}
