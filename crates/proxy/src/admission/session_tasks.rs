//! The tasks of sessions, where they may have to be ended before their time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::{AbortHandle, Id, try_id};

/// The tasks by their numbers.
#[derive(Debug, Default)]
pub(super) struct SessionTasks(Mutex<HashMap<Id, AbortHandle>>);

impl SessionTasks {
    pub(super) fn add(&self, task: AbortHandle) {
        self.lock().insert(task.id(), task);
    }

    /// The task that this is called in has ended, or is being ended.
    pub(super) fn remove_current(&self) {
        if let Some(id) = try_id() {
            self.lock().remove(&id);
        }
    }

    /// Ends all. They are gone when each has had its turn.
    pub(super) fn abort_all(&self) -> usize {
        // Not under the lock: an end takes its task out of the tasks.
        let all = std::mem::take(&mut *self.lock());
        for task in all.values() {
            task.abort();
        }
        all.len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, AbortHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
