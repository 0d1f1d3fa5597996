//! Exclusive groups: only one of a group's servers runs at a time, for example because they share a GPU or a licence.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// One exclusive group.
#[derive(Debug)]
pub(in crate::upstream) struct Group {
    slot: Arc<Semaphore>,
    /// The number of servers that wait for the slot.
    waiting: AtomicUsize,
    changed: Notify,
}

/// The slot of a group. Dropping it lets the next server in.
#[derive(Debug)]
pub(super) struct GroupSlot(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Group {
    fn new() -> Self {
        Self { slot: Arc::new(Semaphore::new(1)), waiting: AtomicUsize::new(0), changed: Notify::new() }
    }

    /// Waits for the slot, first come, first served. The server that has it is notified.
    pub(super) async fn enter(self: Arc<Self>) -> GroupSlot {
        let waiting = WaitingGuard::new(&self);
        match Arc::clone(&self.slot).acquire_owned().await {
            Ok(permit) => {
                drop(waiting);
                GroupSlot(permit)
            }
            // Never closed: the group owns the semaphore.
            Err(_) => pending().await,
        }
    }

    /// Waits until other servers wait for the slot, or no longer do: until this differs from `before`.
    async fn contention_changed(&self, before: bool) -> bool {
        loop {
            let contended = self.waiting.load(Ordering::Acquire) > 0;
            if contended != before {
                return contended;
            }
            self.changed.notified().await;
        }
    }
}

/// Counts a server that waits for the slot.
struct WaitingGuard<'a>(&'a Group);

impl<'a> WaitingGuard<'a> {
    fn new(group: &'a Group) -> Self {
        group.waiting.fetch_add(1, Ordering::AcqRel);
        group.changed.notify_one();
        Self(group)
    }
}

impl Drop for WaitingGuard<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

/// A server's membership in its group: the slot, from before its start until after its end.
#[derive(Default)]
pub(super) struct Membership {
    slot: Option<(Arc<Group>, GroupSlot)>,
    entering: Option<Entering>,
    /// Whether other servers wait for the slot, as the machine last learned.
    contended: bool,
}

type Entering = Pin<Box<dyn Future<Output = (Arc<Group>, GroupSlot)> + Send>>;

/// What has happened to a membership.
pub(super) enum GroupEvent {
    /// The server has the slot now.
    Entered,
    /// Whether other servers wait for the slot has changed.
    Contended(bool),
}

impl Membership {
    /// Begins to wait for the group's slot. Returns false if the server has a slot already or is in no group.
    pub(super) fn enter(&mut self, group: Option<&Arc<Group>>) -> bool {
        self.contended = false;
        let (Some(group), None) = (group, &self.slot) else { return false };
        let group = Arc::clone(group);
        self.entering = Some(Box::pin(async move { (Arc::clone(&group), group.enter().await) }));
        true
    }

    /// Returns whether the server waits for the slot.
    pub(super) fn is_entering(&self) -> bool {
        self.entering.is_some()
    }

    /// Stops waiting for the slot.
    pub(super) fn cancel(&mut self) {
        self.entering = None;
    }

    /// Gives the slot to the next server.
    pub(super) fn release(&mut self) {
        self.slot = None;
    }

    /// Waits for the next event.
    pub(super) async fn next_event(&mut self) -> GroupEvent {
        if let Some(entering) = &mut self.entering {
            let slot = entering.await;
            self.entering = None;
            self.slot = Some(slot);
            return GroupEvent::Entered;
        }
        let Some((group, _)) = &self.slot else { return pending().await };
        self.contended = group.contention_changed(self.contended).await;
        GroupEvent::Contended(self.contended)
    }
}

/// All groups, by name.
#[derive(Debug, Default)]
pub(super) struct Groups(HashMap<String, Arc<Group>>);

impl Groups {
    pub(super) fn get(&mut self, name: &str) -> Arc<Group> {
        Arc::clone(self.0.entry(name.to_owned()).or_insert_with(|| Arc::new(Group::new())))
    }

    /// Removes the groups without members.
    pub(super) fn remove_unused(&mut self) {
        self.0.retain(|_, group| Arc::strong_count(group) > 1);
    }
}
