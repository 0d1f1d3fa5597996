//! A session's place at a server, and one that waits for it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use dormouse_core::pool::{Pick, WaiterId};
use dormouse_relay::AbortReason;
use tokio::sync::{oneshot, watch};

use super::Pool;

/// A session's place at a server. Dropping it gives it to the next.
pub(in crate::upstream) struct Place {
    pool: Arc<Pool>,
    server: usize,
    /// Its session has the server for good.
    settled: bool,
    cut: Watched,
}

/// What would end the session, until somebody looks, and then the wait for it.
enum Watched {
    Not(Option<watch::Receiver<Option<AbortReason>>>),
    Wait(Pin<Box<dyn Future<Output = AbortReason> + Send>>),
}

impl Place {
    pub(super) fn new(pool: Arc<Pool>, server: usize) -> Self {
        // What ended those before is no concern of this one.
        let cut = pool.slots.get(server).map(|slot| slot.cut.subscribe());
        Self { pool, server, settled: false, cut: Watched::Not(cut) }
    }

    /// The session has the server for good, and asks for no other.
    pub(in crate::upstream) fn settle(&mut self) {
        if !std::mem::replace(&mut self.settled, true) {
            self.pool.settled.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The server's place in the list.
    pub(in crate::upstream) fn server(&self) -> usize {
        self.server
    }

    /// Whether the session is to end now.
    pub(in crate::upstream) fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<AbortReason> {
        if let Watched::Not(receiver) = &mut self.cut {
            let receiver = receiver.take();
            self.cut = Watched::Wait(Box::pin(wait(receiver)));
        }
        match &mut self.cut {
            Watched::Wait(wait) => wait.as_mut().poll(cx),
            Watched::Not(_) => Poll::Pending,
        }
    }
}

async fn wait(receiver: Option<watch::Receiver<Option<AbortReason>>>) -> AbortReason {
    let Some(mut receiver) = receiver else { return std::future::pending().await };
    loop {
        if receiver.changed().await.is_err() {
            return std::future::pending().await;
        }
        if let Some(cut) = *receiver.borrow_and_update() {
            return cut;
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.settled {
            self.pool.settled.fetch_sub(1, Ordering::Relaxed);
        }
        self.pool.step(|inner, now, out| inner.machine.release(now, self.server, out));
    }
}

/// A place in the queue. Dropping it leaves the queue.
#[derive(Debug)]
pub(in crate::upstream) struct Queued {
    pool: Arc<Pool>,
    ticket: WaiterId,
    answer: oneshot::Receiver<Pick>,
}

impl Queued {
    pub(super) fn new(pool: Arc<Pool>, ticket: WaiterId, answer: oneshot::Receiver<Pick>) -> Self {
        Self { pool, ticket, answer }
    }

    /// Waits for a place at a server.
    pub(in crate::upstream) async fn granted(&mut self) -> Place {
        match (&mut self.answer).await {
            Ok(pick) => self.pool.place(pick),
            // The machine forgets nobody. Whoever it did waits until its patience is over.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.answer.close();
        // Granted between our last look and now: nobody will use it.
        let granted = self.answer.try_recv().ok();
        let ticket = self.ticket;
        self.pool.step(|inner, now, out| {
            if let Some(pick) = granted {
                inner.machine.release(now, pick.server, out);
            } else {
                inner.waiters.remove(&ticket);
                inner.machine.cancel(ticket);
            }
        });
    }
}
