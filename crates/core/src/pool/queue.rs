//! Those that wait for a place at a server: first come, first served.

use std::collections::BTreeMap;

use super::balance::PickContext;

/// A place in the queue.
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
    /// A queue for at most so many.
    pub fn new(max: usize) -> Self {
        Self { waiting: BTreeMap::new(), issued: 0, max }
    }

    /// Takes the last place; `None`: as many wait as may.
    pub fn enter(&mut self, context: PickContext) -> Option<WaiterId> {
        if self.is_full() {
            return None;
        }
        self.issued += 1;
        let waiter = WaiterId(self.issued);
        self.waiting.insert(waiter, context);
        Some(waiter)
    }

    /// Leaves, wherever the place is. Whether it was there still.
    pub fn cancel(&mut self, waiter: WaiterId) -> bool {
        self.waiting.remove(&waiter).is_some()
    }

    /// Who is next.
    pub fn first(&self) -> Option<(WaiterId, PickContext)> {
        self.waiting.first_key_value().map(|(waiter, context)| (*waiter, *context))
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether as many wait as may.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= self.max
    }
}
