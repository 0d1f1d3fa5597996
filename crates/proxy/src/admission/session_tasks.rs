//! The tasks of sessions that can be aborted.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::{AbortHandle, Id, try_id};

/// The tasks by their IDs.
#[derive(Debug, Default)]
pub(super) struct SessionTasks(Mutex<HashMap<Id, AbortHandle>>);

impl SessionTasks {
    pub(super) fn add(&self, task: AbortHandle) {
        self.lock().insert(task.id(), task);
    }

    /// Removes the current task, which ends or is aborted.
    pub(super) fn remove_current(&self) {
        if let Some(id) = try_id() {
            self.lock().remove(&id);
        }
    }

    /// Aborts all tasks and returns their number. They end when each is polled next.
    pub(super) fn abort_all(&self) -> usize {
        // Not under the lock: an aborted task removes itself.
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
