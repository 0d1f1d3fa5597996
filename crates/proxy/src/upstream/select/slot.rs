//! A session's slot at a server, and a client that waits for one.

use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use dormouse_core::pool::{Pick, WaiterId};
use dormouse_relay::AbortReason;
use tokio::sync::{oneshot, watch};

use super::Pool;

/// A session's slot at a server. Dropping it gives the slot to the next client.
pub(in crate::upstream) struct ConnectionSlot {
    pool: Arc<Pool>,
    server: usize,
    /// The session keeps the server to its end.
    established: bool,
    abort: AbortWatch,
}

/// A receiver of the reason to end the session. The wait for it is made only when a session polls it.
enum AbortWatch {
    Unpolled(Option<watch::Receiver<Option<AbortReason>>>),
    Waiting(Pin<Box<dyn Future<Output = AbortReason> + Send>>),
}

impl ConnectionSlot {
    pub(super) fn new(pool: Arc<Pool>, server: usize) -> Self {
        // An abort of earlier sessions does not end this one: the receiver has seen it.
        let abort = pool.servers.get(server).map(|server| server.abort_sessions.subscribe());
        Self { pool, server, established: false, abort: AbortWatch::Unpolled(abort) }
    }

    /// Marks the session as established: it keeps this server to its end.
    pub(in crate::upstream) fn mark_established(&mut self) {
        if !std::mem::replace(&mut self.established, true) {
            self.pool.established.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the number of the server in its service.
    pub(in crate::upstream) fn server(&self) -> usize {
        self.server
    }

    /// Polls for a reason to end the session now.
    pub(in crate::upstream) fn poll_abort(&mut self, cx: &mut Context<'_>) -> Poll<AbortReason> {
        if let AbortWatch::Unpolled(receiver) = &mut self.abort {
            let receiver = receiver.take();
            self.abort = AbortWatch::Waiting(Box::pin(await_abort(receiver)));
        }
        match &mut self.abort {
            AbortWatch::Waiting(abort) => abort.as_mut().poll(cx),
            AbortWatch::Unpolled(_) => Poll::Pending,
        }
    }
}

async fn await_abort(receiver: Option<watch::Receiver<Option<AbortReason>>>) -> AbortReason {
    let Some(mut receiver) = receiver else { return pending().await };
    loop {
        if receiver.changed().await.is_err() {
            return pending().await;
        }
        if let Some(reason) = *receiver.borrow_and_update() {
            return reason;
        }
    }
}

impl fmt::Debug for ConnectionSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionSlot").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        if self.established {
            self.pool.established.fetch_sub(1, Ordering::Relaxed);
        }
        self.pool.step(|state, now, out| state.machine.release(now, self.server, out));
    }
}

/// A client in the queue. Dropping it leaves the queue.
#[derive(Debug)]
pub(in crate::upstream) struct QueuedClient {
    pool: Arc<Pool>,
    id: WaiterId,
    pick: oneshot::Receiver<Pick>,
}

impl QueuedClient {
    pub(super) fn new(pool: Arc<Pool>, id: WaiterId, pick: oneshot::Receiver<Pick>) -> Self {
        Self { pool, id, pick }
    }

    /// Waits for a slot at a server.
    pub(in crate::upstream) async fn granted(&mut self) -> ConnectionSlot {
        match (&mut self.pick).await {
            Ok(pick) => self.pool.take_slot(pick),
            // The machine answers every client. Should it not, the client waits until its deadline.
            Err(_) => pending().await,
        }
    }
}

impl Drop for QueuedClient {
    fn drop(&mut self) {
        self.pick.close();
        // A slot that was granted after the last poll is given back.
        let granted = self.pick.try_recv().ok();
        let id = self.id;
        self.pool.step(|state, now, out| {
            if let Some(pick) = granted {
                state.machine.release(now, pick.server, out);
            } else {
                state.waiters.remove(&id);
                state.machine.cancel(id);
            }
        });
    }
}
