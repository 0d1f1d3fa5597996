//! What a client has of a server that sleeps: a place among those that wait, then a lease.

use std::sync::Arc;

use dormouse_core::activation::{Refusal, WaiterId};
use dormouse_relay::Stream;
use tokio::sync::oneshot;

use super::{Answer, Sleeper};
use crate::client::Peer;

/// A client's hold on an awake server. Dropping it is how the server learns that the session ended.
#[derive(Debug)]
pub struct Lease {
    pub(super) sleeper: Arc<Sleeper>,
    /// The run that it is for.
    pub(super) run: u32,
    pub(super) counted: bool,
}

/// A place among those that wait. Dropping it gives it up.
#[derive(Debug)]
pub(in crate::upstream) struct Ticket<'a> {
    pub(super) sleeper: &'a Arc<Sleeper>,
    pub(super) waiter: WaiterId,
    /// It is this client that has woken it.
    pub(super) woke: bool,
    pub(super) answer: oneshot::Receiver<Answer>,
}

impl Ticket<'_> {
    /// Whether it is this client that has woken it.
    pub(in crate::upstream) fn woke(&self) -> bool {
        self.woke
    }

    /// Tells who that was.
    pub(in crate::upstream) fn tell_who(&self, client: &Stream) {
        if let Some(socket) = client.socket() {
            self.sleeper.counters.woken_by(Peer::of(socket).to_string());
        }
    }

    /// Waits for the answer: a lease, and for the first one the connection that showed that the server is ready.
    pub(in crate::upstream) async fn answer(&mut self) -> Result<(Lease, Option<Stream>), Refusal> {
        match (&mut self.answer).await {
            Ok(Ok((run, first))) => {
                Ok((Lease { sleeper: Arc::clone(self.sleeper), run, counted: true }, first))
            }
            Ok(Err(refusal)) => Err(refusal),
            // The machine forgets nobody; whoever it did would be told that.
            Err(_) => Err(Refusal::StartFailed),
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.answer.close();
        let waiter = self.waiter;
        // Granted between our last look and now: nobody will use it.
        let granted = matches!(self.answer.try_recv(), Ok(Ok(_)));
        self.sleeper.step(|inner, now, out| {
            if granted {
                inner.machine.release(now, true, out);
            } else if inner.waiters.remove(&waiter).is_some() {
                self.sleeper.counters.failed_holds.inc();
                inner.machine.cancel(waiter);
            }
        });
    }
}

impl Lease {
    /// Whose it is.
    pub fn sleeper(&self) -> &Arc<Sleeper> {
        &self.sleeper
    }

    /// The session has moved nothing for long, and is no use.
    pub fn quiet(&mut self) {
        if std::mem::replace(&mut self.counted, false) {
            self.sleeper.step(|inner, now, out| inner.machine.session_idle(now, out));
        }
    }

    /// The session moves bytes again.
    pub fn busy(&mut self) {
        if !std::mem::replace(&mut self.counted, true) {
            self.sleeper.step(|inner, now, out| inner.machine.session_active(now, out));
        }
    }

    /// Which run of the server it is for.
    pub(in crate::upstream) fn run(&self) -> u32 {
        self.run
    }

    /// Waits until the server goes away, or has gone since the lease was given.
    pub(in crate::upstream) async fn lost(&self) {
        // The sender lives as long as the sleeper.
        let _ = self.sleeper.run.subscribe().wait_for(|run| *run != self.run).await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let counted = self.counted;
        self.sleeper.step(|inner, now, out| inner.machine.release(now, counted, out));
    }
}
