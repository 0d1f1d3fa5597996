//! What a client has of a wakeable server: a place among the waiting clients, then a lease.

use std::sync::Arc;

use dormouse_core::activation::{LeaseRefusal, WaiterId};
use dormouse_relay::Stream;
use tokio::sync::oneshot;

use super::WakeableServer;
use crate::client::Peer;
use crate::upstream::workload::LeaseAnswer;

/// A client's lease on a server that is awake. Dropping it reports the end of the session to the server.
#[derive(Debug)]
pub struct Lease {
    pub(super) server: Arc<WakeableServer>,
    /// The run of the server that the lease is for.
    pub(super) run: u32,
    /// Whether the session counts as use of the server.
    pub(super) active: bool,
    /// Whether the session was served.
    pub(super) served: bool,
}

/// A client that waits for a lease. Dropping it gives up the wait.
#[derive(Debug)]
pub(in crate::upstream) struct Waiter<'a> {
    pub(super) server: &'a Arc<WakeableServer>,
    pub(super) id: WaiterId,
    /// Whether this client has woken the server.
    pub(super) woke: bool,
    pub(super) answer: oneshot::Receiver<LeaseAnswer>,
}

impl Waiter<'_> {
    /// Returns whether this client has woken the server.
    pub(in crate::upstream) fn has_woken(&self) -> bool {
        self.woke
    }

    /// Records the client's address as the reason why the server was woken.
    pub(in crate::upstream) fn record_client(&self, client: &Stream) {
        if let Some(socket) = client.socket() {
            self.server.workload.set_waking_client(self.server.port, &Peer::of(socket).phrase());
        }
    }

    /// Waits for a lease. The first lease after a start comes with the connection that showed that the server is ready.
    ///
    /// # Errors
    /// The reason why the server was not woken.
    pub(in crate::upstream) async fn granted(&mut self) -> Result<(Lease, Option<Stream>), LeaseRefusal> {
        match (&mut self.answer).await {
            Ok(Ok((run, ready_conn))) => {
                Ok((Lease { server: Arc::clone(self.server), run, active: true, served: false }, ready_conn))
            }
            Ok(Err(refusal)) => Err(refusal),
            // The machine answers every waiter. Should it not, the client is refused.
            Err(_) => Err(LeaseRefusal::StartFailed),
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.answer.close();
        // A lease that was granted after the last poll is given back.
        let granted = matches!(self.answer.try_recv(), Ok(Ok(_)));
        self.server.workload.withdraw(self.server.port, self.id, granted);
    }
}

impl Lease {
    /// Returns the server.
    pub fn server(&self) -> &Arc<WakeableServer> {
        &self.server
    }

    /// Marks the session as idle: it no longer counts as use of the server.
    pub fn mark_idle(&mut self) {
        if std::mem::replace(&mut self.active, false) {
            self.server.workload.session_idle();
        }
    }

    /// Marks the session as active: it moves bytes again.
    pub fn mark_active(&mut self) {
        if !std::mem::replace(&mut self.active, true) {
            self.server.workload.session_active(self.server.port);
        }
    }

    /// Marks the session as served: the server sent something, or the client ended it.
    pub fn mark_served(&mut self) {
        self.served = true;
    }

    /// Returns the number of the server's run that the lease is for.
    pub(in crate::upstream) fn run(&self) -> u32 {
        self.run
    }

    /// Waits until the run of this lease has ended. Returns at once if it already has.
    pub(in crate::upstream) async fn lost(&self) {
        self.server.workload.run_ended(self.run).await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.server.workload.release(self.server.port, self.active, self.served);
    }
}
