//! Exclusive groups: of all services in one, only one runs at a time (one GPU, one licence).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    place: Arc<Semaphore>,
    /// How many wait for the place.
    waiting: AtomicUsize,
    changed: Notify,
}

/// The place in a group. Dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Group {
    fn new() -> Self {
        Self { place: Arc::new(Semaphore::new(1)), waiting: AtomicUsize::new(0), changed: Notify::new() }
    }

    /// Waits for the place, first come, first served; whoever has it is told.
    pub(super) async fn enter(self: Arc<Self>) -> Place {
        let waiting = Waiting::new(&self);
        match Arc::clone(&self.place).acquire_owned().await {
            Ok(permit) => {
                drop(waiting);
                Place(permit)
            }
            // Never closed: the group owns it.
            Err(_) => std::future::pending().await,
        }
    }

    /// For who has the place: waits until that another wants it is not as it `was` any more.
    pub(super) async fn wanted_changes(&self, was: bool) -> bool {
        loop {
            let wanted = self.waiting.load(Ordering::Acquire) > 0;
            if wanted != was {
                return wanted;
            }
            self.changed.notified().await;
        }
    }
}

struct Waiting<'a>(&'a Group);

impl<'a> Waiting<'a> {
    fn new(group: &'a Group) -> Self {
        group.waiting.fetch_add(1, Ordering::AcqRel);
        group.changed.notify_one();
        Self(group)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

/// All groups, by name.
#[derive(Debug, Default)]
pub(super) struct Groups(HashMap<String, Arc<Group>>);

impl Groups {
    pub(super) fn get(&mut self, name: &str) -> Arc<Group> {
        Arc::clone(self.0.entry(name.to_owned()).or_insert_with(|| Arc::new(Group::new())))
    }

    /// Forgets those without members.
    pub(super) fn sweep(&mut self) {
        self.0.retain(|_, group| Arc::strong_count(group) > 1);
    }
}
