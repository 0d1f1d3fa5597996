//! A workload: what dormouse starts when a client connects, and freezes or stops when nobody uses it. It consists of the
//! core's state machine and of the clients that wait.
//!
//! Several servers, of one service or of several, may lead to one workload. Each is a [`Member`] with a port of its own.
//! Sessions and the workload's driver meet here. A client that finds its port ready gets its lease without waiting for
//! the driver. The lock is never held over a wait.

mod admin;
mod driven;
mod member;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_core::activation::{
    Action, LeaseRefusal, LeaseRequest, LeaseResponse, Policy, Port, Snapshot, State, WaiterId,
};
use dormouse_log::Log;
use tokio::sync::{Notify, oneshot, watch};

use crate::stats::wake::{Woken, WokenBy};
pub use member::Sharer;
pub(super) use member::{HoldLimits, Member};
pub(super) use state::LeaseAnswer;
use state::{Cause, WorkloadState};

/// A workload that dormouse starts and stops.
#[derive(Debug)]
pub(super) struct Workload {
    log: Log,
    state: Mutex<WorkloadState>,
    /// Notified when the driver has something to do.
    pub(super) driver_wakeup: Notify,
    /// The number of the current run. Leases for earlier runs are lost.
    run: watch::Sender<u32>,
    /// Notified when the workload becomes one that dormouse has started, or is not any more.
    owned_changed: Arc<Notify>,
}

/// The answer to a request for a lease.
pub(super) enum LeaseReply {
    /// The port is ready. The lease is for this run.
    Granted(u32),
    /// The client waits.
    Held {
        id: WaiterId,
        /// Whether this client has woken the workload.
        woke: bool,
        answer: oneshot::Receiver<LeaseAnswer>,
    },
    /// The client gets no lease.
    Refused(LeaseRefusal),
}

impl Workload {
    /// Creates a workload without members.
    pub(super) fn new(policy: Policy, owned_changed: Arc<Notify>, log: Log) -> Arc<Self> {
        Arc::new(Self {
            log,
            state: Mutex::new(WorkloadState::new(policy, Instant::now())),
            driver_wakeup: Notify::new(),
            run: watch::Sender::new(0),
            owned_changed,
        })
    }

    /// Adds a member. Returns its port.
    pub(super) fn join(&self, member: Member) -> Port {
        self.lock().join(member)
    }

    /// Removes a member that no service and no session needs any more. Returns whether it was the last one.
    pub(super) fn leave(&self, port: Port) -> bool {
        self.step(Cause::unknown(), |state, now, out| {
            state.members.remove(&port);
            state.machine.close_port(now, port, out);
            state.machine.has_no_port()
        })
    }

    /// Sets which clients a member holds from now on.
    pub(super) fn set_hold_limits(&self, port: Port, hold: HoldLimits) {
        if let Some(member) = self.lock().members.get_mut(&port) {
            member.hold = hold;
        }
    }

    /// Returns the name of the workload in the log: that of its member, or those of its members.
    pub(super) fn name(&self) -> String {
        self.lock().name()
    }

    /// Returns the other members.
    pub(super) fn others(&self, port: Port) -> Vec<Sharer> {
        let state = self.lock();
        let others = state.members.iter().filter(|(other, _)| **other != port);
        let sharer = |(port, member): (&Port, &Member)| {
            let (leases, held) = state.machine.load(*port);
            Sharer { name: member.name.clone(), leases, held }
        };
        others.map(sharer).collect()
    }

    /// Requests a lease for a client of this port. `may_wake`: this client may wake the workload.
    pub(super) fn request_lease(&self, port: Port, may_wake: bool) -> LeaseReply {
        self.step(Cause::of(port, WokenBy::Client), |state, now, out| {
            let Some(HoldLimits { timeout, max }) = state.members.get(&port).map(|member| member.hold) else {
                return LeaseReply::Refused(LeaseRefusal::StartFailed);
            };
            let request = LeaseRequest { port, may_wake, hold_timeout: timeout, hold_max: max };
            match state.machine.request_lease(now, request, out) {
                LeaseResponse::Granted => LeaseReply::Granted(state.run),
                LeaseResponse::Held(id) => {
                    let (sender, answer) = oneshot::channel();
                    state.add_waiter(id, port, sender, now);
                    let woke = out.iter().any(|action| matches!(action, Action::Start | Action::Thaw));
                    LeaseReply::Held { id, woke, answer }
                }
                LeaseResponse::Refused(refusal) => LeaseReply::Refused(refusal),
            }
        })
    }

    /// Records that a waiting client has left. `granted`: its lease was granted, and it has not received it.
    pub(super) fn withdraw(&self, port: Port, id: WaiterId, granted: bool) {
        self.step(Cause::unknown(), |state, now, out| {
            if granted {
                state.machine.release(now, port, true, out);
            } else {
                state.cancel_waiter(id);
            }
        });
    }

    /// Takes back a lease. `active`: the session counted as use until now. `served`: the server sent it something, or its
    /// client ended it.
    pub(super) fn release(&self, port: Port, active: bool, served: bool) {
        self.step(Cause::unknown(), |state, now, out| {
            if served {
                state.machine.mark_served(now, out);
            }
            state.machine.release(now, port, active, out);
        });
    }

    /// Records that a session does not count as use any more.
    pub(super) fn session_idle(&self) {
        self.step(Cause::unknown(), |state, now, out| state.machine.session_idle(now, out));
    }

    /// Records that a session of this port counts as use again.
    pub(super) fn session_active(&self, port: Port) {
        let cause = Cause::of(port, WokenBy::Client);
        self.step(cause, |state, now, out| state.machine.session_active(now, out));
    }

    /// Sets the client that woke the workload last, as part of a sentence. `port`: the client's port.
    pub(super) fn set_waking_client(&self, port: Port, client: &str) {
        self.lock().set_waking_client(port, client);
    }

    /// Waits until the run of this number has ended. Returns at once if it already has.
    pub(super) async fn run_ended(&self, number: u32) {
        // The sender lives as long as the workload.
        let _ = self.run.subscribe().wait_for(|run| *run != number).await;
    }

    /// Returns whether a client of this port that arrives now gets a lease at once.
    pub(super) fn is_up(&self, port: Port) -> bool {
        self.lock().machine.is_up(port)
    }

    /// Returns the number of leases of this port, and of clients that wait for one.
    pub(super) fn load(&self, port: Port) -> (usize, usize) {
        self.lock().machine.load(port)
    }

    /// Returns the state, when it began, and how long the last cold start took.
    pub(super) fn state(&self) -> (State, Instant, Option<Duration>) {
        let state = self.lock();
        (state.machine.state(), state.machine.since(), state.cold_start)
    }

    /// Returns everything that keeps the workload in its state, and what happens next.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.lock().machine.snapshot()
    }

    /// Returns what woke the workload last.
    pub(super) fn woken(&self) -> Option<Woken> {
        self.lock().woken.clone()
    }

    /// Returns why the last start failed, why the workload ended, or what stands in the way of the start in progress.
    pub(super) fn reason(&self) -> Option<Arc<str>> {
        let state = self.lock();
        state.reason.clone().or_else(|| state.start_problem.clone())
    }

    /// Records a member's first byte since the start. From now on a connection that ends early is its decision.
    pub(super) fn record_first_byte(&self, port: Port) {
        if let Some(member) = self.lock().members.get_mut(&port) {
            member.has_sent = true;
        }
    }

    /// Returns whether a member has sent a byte since the start.
    pub(super) fn has_sent(&self, port: Port) -> bool {
        self.lock().members.get(&port).is_some_and(|member| member.has_sent)
    }

    fn lock(&self) -> MutexGuard<'_, WorkloadState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one step of the machine, and carries out all that follows from it. `cause`: what woke the workload if the
    /// step wakes it.
    fn step<R>(
        &self,
        cause: Cause,
        act: impl FnOnce(&mut WorkloadState, Instant, &mut Vec<Action>) -> R,
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
                wake_driver |= state.carry_out(now, action, cause, &mut further);
            }
            out = further;
        }
        wake_driver |= state.is_due_earlier();
        let freed = state.machine.held() < held || state.machine.state() == State::Ready;
        state.report(&self.log, now);
        let owned_changed = state.update_owned();
        let freed = if freed && held > 0 { state.capacities() } else { Vec::new() };
        drop(state);
        if owned_changed {
            self.owned_changed.notify_one();
        }
        if wake_driver {
            self.driver_wakeup.notify_one();
        }
        for capacity in freed {
            capacity.notify_waiters();
        }
        result
    }
}
