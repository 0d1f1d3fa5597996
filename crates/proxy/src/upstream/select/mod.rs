//! The pool: several servers of one service, or one that is checked or limited. It chooses a server for each session,
//! queues clients while all servers are full or down, and records what health checks and sessions find.
//!
//! The core's machine (`dormouse_core::pool`) decides. A session gets its slot here without waiting for another task.
//! The lock is never held over a wait.

mod check;
mod health;
mod outages;
mod pool_server;
mod retry;
mod slot;
mod state;
mod view;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use dormouse_config::model::ServiceConfig;
use dormouse_core::pool::{Assignment, Balance, Grant, Pick, Status};
use dormouse_log::Log;
use tokio::sync::{Notify, oneshot, watch};

use super::admin::AdminOverrides;
use super::wakeable::WakeableServer;
use crate::stats::wake::WokenBy;
pub(super) use check::HealthChecker;
pub use outages::Outages;
use pool_server::PoolServer;
pub use retry::RetryCounts;
pub(super) use retry::{RetryEvent, RetryRules};
pub(super) use slot::{ConnectionSlot, QueuedClient};
use state::PoolState;
pub use view::{LastCheck, ServerHandle, ServerView};

/// Several servers of one service.
#[derive(Debug)]
pub(super) struct Pool {
    name: String,
    log: Log,
    state: Mutex<PoolState>,
    servers: Vec<PoolServer>,
    /// Counts the changes of servers' health and administrative state.
    changes: watch::Sender<u64>,
    /// The number of sessions that keep their server to their end.
    established: AtomicUsize,
    /// Notified when a waiting slot becomes free.
    capacity: Arc<Notify>,
    retry_rules: RetryRules,
}

/// The answer to a request for a slot.
pub(super) enum SlotReply {
    /// A server has a free slot.
    Granted(ConnectionSlot),
    /// The client waits in the queue.
    Queued(QueuedClient),
    /// The queue is full.
    Refused,
}

impl Pool {
    /// Returns the pool of a service, if it needs one: it has several servers, or one with rules.
    pub(super) fn for_service(
        config: &ServiceConfig,
        overrides: &AdminOverrides,
        wakeables: impl IntoIterator<Item = Option<Arc<WakeableServer>>>,
        capacity: &Arc<Notify>,
        log: &Log,
    ) -> Option<Arc<Self>> {
        if matches!(config.servers.as_slice(), [only] if !only.has_rules()) {
            return None;
        }
        let state = PoolState::new(config, overrides, RandomState::new().hash_one(&config.name));
        Some(Arc::new(Self {
            name: config.name.clone(),
            log: log.clone(),
            state: Mutex::new(state),
            servers: config
                .servers
                .iter()
                .zip(wakeables)
                .map(|(server, wakeable)| PoolServer::new(server, wakeable))
                .collect(),
            changes: watch::Sender::new(0),
            established: AtomicUsize::new(0),
            capacity: Arc::clone(capacity),
            retry_rules: RetryRules::new(config),
        }))
    }

    /// Requests a slot at any server. `client_hash` stands for the client.
    pub(super) fn request_slot(self: &Arc<Self>, client_hash: u64) -> SlotReply {
        self.step(|state, now, _| {
            let context = state.pick_context(client_hash);
            match state.machine.request(now, context) {
                Assignment::Granted(pick) => SlotReply::Granted(self.take_slot(pick)),
                Assignment::Queued(id) => {
                    let (sender, pick) = oneshot::channel();
                    state.waiters.insert(id, sender);
                    SlotReply::Queued(QueuedClient::new(Arc::clone(self), id, pick))
                }
                Assignment::Refused => SlotReply::Refused,
            }
        })
    }

    /// Returns a slot at a server that is not among those tried, if one has capacity.
    pub(super) fn other_slot(self: &Arc<Self>, client_hash: u64, tried: &[bool]) -> Option<ConnectionSlot> {
        self.step(|state, now, _| {
            let context = state.pick_context(client_hash);
            state.machine.pick_other(now, context, tried).map(|pick| self.take_slot(pick))
        })
    }

    /// Makes a slot of a server that the machine has picked, and wakes the server that the machine wants awake.
    fn take_slot(self: &Arc<Self>, pick: Pick) -> ConnectionSlot {
        let wakeable = pick.wake.and_then(|server| self.servers.get(server)?.wakeable.as_ref());
        if let Some(wakeable) = wakeable {
            wakeable.wake(WokenBy::Load);
        }
        ConnectionSlot::new(Arc::clone(self), pick.server)
    }

    /// Returns the number of sessions that keep their server to their end.
    pub(super) fn established(&self) -> usize {
        self.established.load(Ordering::Relaxed)
    }

    /// Returns whether the queue takes further clients.
    pub(super) fn can_queue(&self) -> bool {
        self.lock().machine.can_queue()
    }

    /// Returns the number of clients in the queue.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.lock().machine.waiting()
    }

    /// Returns whether the choice depends on the client's address.
    pub(super) fn needs_client(&self) -> bool {
        self.balance().uses_client_address()
    }

    /// Returns the algorithm that chooses a server.
    pub(super) fn balance(&self) -> Balance {
        self.lock().machine.balance()
    }

    /// Returns how often and how long servers are tried.
    pub(super) fn retry_rules(&self) -> RetryRules {
        self.retry_rules
    }

    /// Returns whether a server takes sessions, full or not.
    pub(super) fn has_usable_server(&self) -> bool {
        self.lock().machine.has_usable_server()
    }

    /// Returns whether this server takes sessions.
    pub(super) fn takes_sessions(&self, server: usize) -> bool {
        self.lock().machine.takes_sessions(server)
    }

    /// Returns the status of a server.
    pub(super) fn status(&self, server: usize) -> Option<Status> {
        Some(self.lock().machine.members().get(server)?.status())
    }

    /// Returns a receiver that changes with servers' health and administrative state.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Returns when no server took sessions.
    pub(super) fn outages(&self) -> Outages {
        self.lock().outages
    }

    /// Returns the servers as they are now.
    pub(super) fn view(&self) -> Vec<ServerView> {
        let (now, state) = (Instant::now(), self.lock());
        let members = state.machine.members().iter().zip(&self.servers).zip(&state.last_checks);
        members
            .map(|((member, server), last_check)| ServerView::new(member, server, last_check.clone(), now))
            .collect()
    }

    /// Counts what happened to a client at a server.
    pub(super) fn count(&self, server: usize, event: RetryEvent) {
        if let Some(server) = self.servers.get(server) {
            server.retries.count(event);
        }
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one step of the machine, and carries out all that follows from it.
    fn step<R>(&self, act: impl FnOnce(&mut PoolState, Instant, &mut Vec<Grant>) -> R) -> R {
        let now = Instant::now();
        let mut state = self.lock();
        for (index, server) in self.servers.iter().enumerate() {
            if let Some(wakeable) = &server.wakeable {
                state.machine.set_awake(index, wakeable.is_up());
            }
        }
        let (waiting, mut out) = (state.machine.waiting(), Vec::new());
        let result = act(&mut state, now, &mut out);
        state.grant(now, out);
        for (index, server) in self.servers.iter().enumerate() {
            if state.rearm_check(index) {
                server.check_rescheduled.notify_one();
            }
        }
        state.note_outage(now);
        let freed = state.machine.waiting() < waiting;
        drop(state);
        if freed {
            self.capacity.notify_waiters();
        }
        result
    }
}

#[cfg(test)]
mod tests;
