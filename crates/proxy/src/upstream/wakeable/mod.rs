//! A server that dormouse starts when a client connects, and freezes or stops when it is not in use: the core's state
//! machine, and the clients that wait.
//!
//! Sessions and the server's driver meet here. A client that finds the server awake gets its lease without waiting for
//! the driver. The lock is never held over a wait.

mod connection_check;
mod lease;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_activate::Request;
use dormouse_core::activation::{
    Action, AdminError, Event, Eviction, LeaseRefusal, LeaseResponse, Policy, Snapshot, State,
};
use dormouse_log::Log;
use dormouse_relay::Stream;
use tokio::sync::{Notify, oneshot, watch};

use crate::connect::Endpoint;
use crate::stats::wake::{WakeCounters, WokenBy};
pub(super) use connection_check::{ConnectionCheck, JudgedPeers, NotTheServer};
pub use lease::Lease;
pub(super) use lease::Waiter;
use state::ServerState;

/// A server that dormouse starts and stops.
#[derive(Debug)]
pub struct WakeableServer {
    /// The server's name in the log.
    name: String,
    log: Log,
    /// The statistics of the server's starts and of its waiting clients.
    pub counters: WakeCounters,
    state: Mutex<ServerState>,
    /// Checks clients' connections. `None`: they are not checked.
    connection_check: Mutex<Option<ConnectionCheck>>,
    /// Notified when the driver has something to do.
    pub(super) driver_wakeup: Notify,
    /// The number of the current run. Leases for earlier runs are lost.
    run: watch::Sender<u32>,
    /// Notified when a waiting slot becomes free.
    capacity: Arc<Notify>,
    /// Notified when the server becomes one that dormouse has started, or is not any more.
    owned_changed: Arc<Notify>,
}

/// The answer to a request for a lease.
pub(super) enum LeaseReply<'a> {
    /// The server is awake.
    Granted(Lease),
    /// The client waits for the server.
    Held(Waiter<'a>),
    /// The client gets no lease.
    Refused(LeaseRefusal),
}

impl WakeableServer {
    pub(super) fn new(
        name: String,
        policy: Policy,
        capacity: Arc<Notify>,
        owned_changed: Arc<Notify>,
        log: Log,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            log,
            counters: WakeCounters::default(),
            state: Mutex::new(ServerState::new(policy, Instant::now())),
            connection_check: Mutex::new(None),
            driver_wakeup: Notify::new(),
            run: watch::Sender::new(0),
            capacity,
            owned_changed,
        })
    }

    /// Returns the server's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Requests a lease. `may_wake`: this client may wake the server.
    pub(super) fn request_lease(self: &Arc<Self>, may_wake: bool) -> LeaseReply<'_> {
        self.step_by(WokenBy::Client, |state, now, out| {
            match state.machine.request_lease(now, may_wake, out) {
                LeaseResponse::Granted => LeaseReply::Granted(Lease {
                    server: Arc::clone(self),
                    run: state.run,
                    active: true,
                    served: false,
                }),
                LeaseResponse::Held(id) => {
                    let (sender, answer) = oneshot::channel();
                    state.waiters.insert(id, (sender, now));
                    let woke = out.iter().any(|action| matches!(action, Action::Start | Action::Thaw));
                    LeaseReply::Held(Waiter { server: self, id, woke, answer })
                }
                LeaseResponse::Refused(refusal) => LeaseReply::Refused(refusal),
            }
        })
    }

    /// Returns whether a client that arrives now gets a lease at once.
    pub(super) fn is_up(&self) -> bool {
        self.lock().machine.is_up()
    }

    /// Returns the number of leases, and of clients that wait for one.
    pub(super) fn load(&self) -> (usize, usize) {
        let state = self.lock();
        (state.machine.leases(), state.machine.held())
    }

    /// Returns the state, when it began, and how long the last cold start took.
    pub fn state(&self) -> (State, Instant, Option<Duration>) {
        let state = self.lock();
        (state.machine.state(), state.machine.since(), state.cold_start)
    }

    /// Returns everything that keeps the server in its state, and what happens next.
    pub fn snapshot(&self) -> Snapshot {
        self.lock().machine.snapshot()
    }

    /// Returns why the last start failed, why the server ended, or what stands in the way of the start in progress.
    pub fn reason(&self) -> Option<Arc<str>> {
        let state = self.lock();
        state.reason.clone().or_else(|| state.start_problem.clone())
    }

    /// Wakes the server without a client. It is stopped again by the usual rules.
    pub fn wake(&self, by: WokenBy) {
        self.step_by(by, |state, now, out| state.machine.wake(now, out));
    }

    /// Stops the server for an administrator.
    ///
    /// # Errors
    /// When the server is not awake, or is in use.
    pub fn stop_by_admin(&self) -> Result<(), AdminError> {
        self.step(|state, now, out| state.machine.stop_by_admin(now, out))
    }

    /// Freezes the server for an administrator.
    ///
    /// # Errors
    /// When the server is not awake, or is in use.
    pub fn freeze(&self) -> Result<(), AdminError> {
        self.step(|state, now, out| state.machine.freeze(now, out))
    }

    /// Thaws the server for an administrator.
    ///
    /// # Errors
    /// When the server is not frozen.
    pub fn thaw(&self) -> Result<(), AdminError> {
        self.step_by(WokenBy::Administrator, |state, now, out| state.machine.thaw(now, out))
    }

    /// Sets whether the time of day keeps the server warm.
    pub(super) fn set_keep_warm(&self, keep_warm: bool) {
        self.step_by(WokenBy::KeepWarm, |state, now, out| state.machine.set_keep_warm(now, keep_warm, out));
    }

    /// Sets whether this reason makes the server stop as soon as it is not in use.
    pub(super) fn set_eviction(&self, reason: Eviction, active: bool) {
        self.step(
            |ServerState { machine, .. }, now, out| {
                if active { machine.evict(now, reason, out) } else { machine.cancel_eviction(reason) }
            },
        );
    }

    /// Replaces the policy.
    pub(super) fn set_policy(&self, policy: Policy) {
        self.step(|state, now, out| state.machine.set_policy(now, policy, out));
    }

    /// Allows the next start at once, because the reason for failed starts may be gone.
    pub(super) fn reset_backoff(&self) {
        self.step(|state, now, out| state.machine.reset_backoff(now, out));
    }

    /// Records that dormouse started the running workload.
    pub(super) fn mark_owned(&self) {
        self.step(|state, now, out| state.machine.mark_owned(now, out));
    }

    /// Records that another program started the running workload.
    pub(super) fn mark_foreign(&self) {
        self.step(|state, _, _| state.machine.mark_foreign());
    }

    /// Returns whether processes of the workload that dormouse has started may exist.
    pub(super) fn is_owned(&self) -> bool {
        self.lock().owned
    }

    /// Records that the workload was stopped for the last time. Nothing is reported, because the server is removed.
    pub(super) fn record_last_stop(&self) {
        let owned = std::mem::replace(&mut self.lock().owned, false);
        if owned {
            self.owned_changed.notify_one();
        }
    }

    /// Returns whether the server runs, and another program has started it.
    pub(super) fn is_foreign(&self) -> bool {
        let state = self.lock();
        state.is_running() && state.machine.is_foreign()
    }

    /// Returns whether the server does not run, and is not about to.
    pub(super) fn is_stopped(&self) -> bool {
        !self.lock().is_running()
    }

    /// Returns whether the server was started, and is not ready yet.
    pub(super) fn is_starting(&self) -> bool {
        self.lock().machine.state() == State::Starting
    }

    /// Records what stands in the way of the start in progress. The reason of a start that fails contains it.
    pub(super) fn set_start_problem(&self, problem: &str) {
        self.lock().start_problem = Some(problem.into());
    }

    /// Sets the check of clients' connections. `None`: they are not checked.
    pub(super) fn set_connection_check(&self, check: Option<ConnectionCheck>) {
        *self.connection_check.lock().unwrap_or_else(PoisonError::into_inner) = check;
    }

    /// Checks a connection before it is used, and returns it if it leads to the server. `refused`: addresses of the
    /// server that took no connection meanwhile, so that another program may have taken them.
    pub(super) async fn check_connection(
        &self,
        stream: Stream,
        refused: &[Endpoint],
    ) -> Result<Stream, NotTheServer> {
        let Some(check) = self.connection_check() else { return Ok(stream) };
        check.forget(refused);
        check.check(stream).await
    }

    /// Has the next connection judged again. The server took none, so another program may have taken its addresses.
    pub(super) fn forget_judged_peers(&self) {
        if let Some(check) = self.connection_check() {
            check.forget_all();
        }
    }

    fn connection_check(&self) -> Option<ConnectionCheck> {
        self.connection_check.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records the server's first byte since its start. From now on a connection that ends early is the server's
    /// decision.
    pub(super) fn record_first_byte(&self) {
        self.lock().has_sent = true;
    }

    /// Returns whether the server has sent a byte since its start.
    pub(super) fn has_sent(&self) -> bool {
        self.lock().has_sent
    }

    /// Records what the activator has reported. `reason`: why the server failed.
    pub(super) fn record_event(&self, event: Event, reason: Option<String>) {
        let ended = matches!(event, Event::Stopped | Event::Exited { .. } | Event::StartFailed);
        let run = self.step(|state, now, out| {
            if let Some(reason) = reason {
                state.reason = Some(reason.into());
            }
            state.run = state.run.wrapping_add(u32::from(ended));
            state.has_ended |= ended;
            state.machine.event(now, event, out);
            state.run
        });
        if ended {
            self.run.send_replace(run);
        }
    }

    /// Records that the server is ready. `conn`: the connection that showed it, for the first client.
    pub(super) fn mark_ready(&self, conn: Option<Stream>) {
        self.step(|state, now, out| {
            state.ready_conn = conn;
            state.machine.event(now, Event::Ready, out);
        });
        // No client may have been left to take the connection.
        self.lock().ready_conn = None;
    }

    /// Lets the machine do what is due. Returns when something is due next.
    pub(super) fn tick(&self) -> Option<Instant> {
        self.step(|state, now, out| state.machine.tick(now, out));
        let mut state = self.lock();
        state.armed = state.machine.deadline();
        state.armed
    }

    /// Returns the next request to the activator.
    pub(super) fn next_request(&self) -> Option<Request> {
        self.lock().requests.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one step of the machine. If it wakes the server, waiting clients are the reason.
    fn step<R>(&self, act: impl FnOnce(&mut ServerState, Instant, &mut Vec<Action>) -> R) -> R {
        self.step_by(WokenBy::Client, act)
    }

    /// Takes one step of the machine, and carries out all that follows from it. `by`: the reason if the step wakes the
    /// server.
    fn step_by<R>(
        &self,
        by: WokenBy,
        act: impl FnOnce(&mut ServerState, Instant, &mut Vec<Action>) -> R,
    ) -> R {
        let now = Instant::now();
        let mut state = self.lock();
        let held = state.machine.held();
        let mut out = Vec::new();
        let result = act(&mut state, now, &mut out);
        let mut wake_driver = false;
        // A lease that its client does not take changes the machine again.
        while !out.is_empty() {
            let mut further = Vec::new();
            for action in out {
                wake_driver |= state.carry_out(now, action, &self.counters, by, &mut further);
            }
            out = further;
        }
        wake_driver |= state.is_due_earlier();
        let freed = state.machine.held() < held || state.machine.is_up();
        self.counters.max_held.raise_to(u64::try_from(state.machine.held()).unwrap_or(u64::MAX));
        state.report(&self.name, &self.log, &self.counters, now);
        let owned_changed = state.update_owned();
        drop(state);
        if owned_changed {
            self.owned_changed.notify_one();
        }
        if wake_driver {
            self.driver_wakeup.notify_one();
        }
        if freed && held > 0 {
            self.capacity.notify_waiters();
        }
        result
    }
}

#[cfg(test)]
mod tests;
