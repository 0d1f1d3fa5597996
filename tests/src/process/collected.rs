//! Things that one thread gathers and another waits for.

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
    /// Adds one.
    pub fn push(&self, item: T) {
        self.lock().items.push(item);
        self.changed.notify_all();
    }

    /// Adds several.
    pub fn extend(&self, items: impl IntoIterator<Item = T>) {
        self.lock().items.extend(items);
        self.changed.notify_all();
    }

    /// Says that nothing more will come.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Looks at what is there.
    pub fn with<R>(&self, look: impl FnOnce(&[T]) -> R) -> R {
        look(&self.lock().items)
    }

    /// Waits until `find` finds what it looks for.
    ///
    /// # Errors
    /// When it has not by `limit`, or not by the time that the list is closed.
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

    /// Waits until nothing more will come.
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
        // A list is whole at every moment: a panic elsewhere does not harm it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
