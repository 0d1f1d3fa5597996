//! A server that dormouse starts when a client connects, and freezes or stops when it is not in use: one member of a
//! workload. Other servers, of this service or of others, may lead to the same workload.

mod connection_check;
mod lease;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dormouse_core::activation::{AdminError, LeaseRefusal, Port, Snapshot, State};
use dormouse_relay::Stream;
use tokio::sync::Notify;

use super::workload::{self, HoldLimits, Member, Sharer, Workload};
use crate::stats::wake::{WakeCounters, Woken, WokenBy};
pub(super) use connection_check::{ConnectionCheck, JudgedPeers, NotTheServer};
use dormouse_connect::Endpoint;
pub use lease::Lease;
pub(super) use lease::Waiter;

/// A server that dormouse starts and stops.
#[derive(Debug)]
pub struct WakeableServer {
    /// The server's name in the log.
    name: String,
    /// The statistics of the starts that its clients caused, and of its waiting clients.
    pub counters: Arc<WakeCounters>,
    workload: Arc<Workload>,
    /// The port of the workload.
    port: Port,
    /// Checks clients' connections. `None`: they are not checked.
    connection_check: Mutex<Option<ConnectionCheck>>,
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
    /// Makes a server that leads to a workload. `capacity`: notified when a waiting slot of the service becomes free.
    pub(super) fn new(
        name: String,
        workload: &Arc<Workload>,
        capacity: Arc<Notify>,
        hold: HoldLimits,
    ) -> Arc<Self> {
        let counters = Arc::new(WakeCounters::default());
        let port = workload.join(Member::new(name.clone(), Arc::clone(&counters), capacity, hold));
        let workload = Arc::clone(workload);
        Arc::new(Self { name, counters, workload, port, connection_check: Mutex::new(None) })
    }

    /// Returns the server's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the other servers that lead to the same workload.
    pub fn sharers(&self) -> Vec<Sharer> {
        self.workload.others(self.port)
    }

    /// Returns the workload.
    pub(super) fn workload(&self) -> &Arc<Workload> {
        &self.workload
    }

    /// Returns the server's port of the workload.
    pub(super) fn port(&self) -> Port {
        self.port
    }

    /// Requests a lease. `may_wake`: this client may wake the server.
    pub(super) fn request_lease(self: &Arc<Self>, may_wake: bool) -> LeaseReply<'_> {
        match self.workload.request_lease(self.port, may_wake) {
            workload::LeaseReply::Granted(run) => {
                LeaseReply::Granted(Lease { server: Arc::clone(self), run, active: true, served: false })
            }
            workload::LeaseReply::Held { id, woke, answer } => {
                LeaseReply::Held(Waiter { server: self, id, woke, answer })
            }
            workload::LeaseReply::Refused(refusal) => LeaseReply::Refused(refusal),
        }
    }

    /// Returns whether a client that arrives now gets a lease at once.
    pub(super) fn is_up(&self) -> bool {
        self.workload.is_up(self.port)
    }

    /// Returns the number of leases, and of clients that wait for one.
    pub fn load(&self) -> (usize, usize) {
        self.workload.load(self.port)
    }

    /// Returns the state of the workload, when it began, and how long the last cold start took.
    pub fn state(&self) -> (State, Instant, Option<Duration>) {
        self.workload.state()
    }

    /// Returns everything that keeps the workload in its state, and what happens next.
    pub fn snapshot(&self) -> Snapshot {
        self.workload.snapshot()
    }

    /// Returns what woke the workload last.
    pub fn woken(&self) -> Option<Woken> {
        self.workload.woken()
    }

    /// Returns why the last start failed, why the workload ended, or what stands in the way of the start in progress.
    pub fn reason(&self) -> Option<Arc<str>> {
        self.workload.reason()
    }

    /// Wakes the server without a client. It is stopped again by the usual rules.
    pub fn wake(&self, by: WokenBy) {
        self.workload.wake(self.port, by);
    }

    /// Stops the workload for an administrator.
    ///
    /// # Errors
    /// When it is not awake, or is in use.
    pub fn stop_by_admin(&self) -> Result<(), AdminError> {
        self.workload.stop_by_admin()
    }

    /// Freezes the workload for an administrator.
    ///
    /// # Errors
    /// When it is not awake, or is in use.
    pub fn freeze(&self) -> Result<(), AdminError> {
        self.workload.freeze()
    }

    /// Thaws the workload for an administrator.
    ///
    /// # Errors
    /// When it is not frozen.
    pub fn thaw(&self) -> Result<(), AdminError> {
        self.workload.thaw(self.port)
    }

    /// An administrator drains the server, or wants it to take sessions again. The workload stops as soon as it is not
    /// in use, if all of its servers are drained.
    pub(super) fn drain(&self, drained: bool) {
        self.workload.drain(self.port, drained);
    }

    /// Sets which clients the server holds from now on.
    pub(super) fn set_hold_limits(&self, hold: HoldLimits) {
        self.workload.set_hold_limits(self.port, hold);
    }

    /// Leaves the workload, because no service and no session needs the server any more. Returns whether it was the
    /// last server.
    pub(super) fn leave(&self) -> bool {
        self.workload.leave(self.port)
    }

    /// Records what stands in the way of the start in progress. The reason of a start that fails contains it.
    pub(super) fn set_start_problem(&self, problem: &str) {
        self.workload.set_start_problem(problem);
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
        self.workload.record_first_byte(self.port);
    }

    /// Returns whether the server has sent a byte since its start.
    pub(super) fn has_sent(&self) -> bool {
        self.workload.has_sent(self.port)
    }
}

#[cfg(test)]
mod tests;
