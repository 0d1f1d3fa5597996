//! A list that one thread fills and another waits on.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Result;
use crate::wait::Deadline;

/// A list that grows until it is closed.
#[derive(Debug)]
pub struct Collected<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: Vec<T>,
    closed: bool,
}

impl<T> Default for Collected<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { items: Vec::new(), closed: false }), changed: Condvar::new() }
    }
}

impl<T> Collected<T> {
    /// Adds one item.
    pub fn push(&self, item: T) {
        self.lock().items.push(item);
        self.changed.notify_all();
    }

    /// Adds several items.
    pub fn extend(&self, items: impl IntoIterator<Item = T>) {
        self.lock().items.extend(items);
        self.changed.notify_all();
    }

    /// Closes the list: no more items follow.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Calls `look` with the items so far.
    pub fn with<R>(&self, look: impl FnOnce(&[T]) -> R) -> R {
        look(&self.lock().items)
    }

    /// Waits until `find` returns a value.
    ///
    /// # Errors
    /// When it returns none within `limit`, or before the list is closed.
    pub fn wait_until<R>(
        &self,
        what: &str,
        limit: Duration,
        mut find: impl FnMut(&[T]) -> Option<R>,
    ) -> Result<R> {
        let deadline = Deadline::after(limit);
        let mut state = self.lock();
        loop {
            if let Some(found) = find(&state.items) {
                return Ok(found);
            }
            if state.closed {
                return Err(deadline.missed(format!("{what} (and its source has ended)")));
            }
            let left = deadline.left(|| what.to_owned())?;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the list is closed.
    ///
    /// # Errors
    /// When it is still open after `limit`.
    pub fn wait_for_close(&self, what: &str, limit: Duration) -> Result<()> {
        let deadline = Deadline::after(limit);
        let mut state = self.lock();
        while !state.closed {
            let left = deadline.left(|| format!("end of {what}"))?;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // The list is consistent after every operation, so that a panic in another thread does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
