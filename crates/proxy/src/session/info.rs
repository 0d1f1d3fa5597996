//! What the stats and the access log report about a session.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::context::ServiceContext;
use crate::client::{Client, Peer};
use crate::proxy_protocol;
use crate::stats::sessions::SessionEntry;
use crate::stats::{Outcome, Record, ServerStats, TerminatedBy};

/// The server of a session, and when the session got it.
#[derive(Debug)]
pub(super) struct ReachedServer {
    pub(super) at: Instant,
    pub(super) server: Option<Arc<ServerStats>>,
}

/// What the stats and the access log report about a session.
#[derive(Debug)]
pub(super) struct SessionInfo {
    context: Arc<ServiceContext>,
    began: Instant,
    pub(super) peer: Box<Peer>,
    /// The workload was asleep when the client arrived.
    asleep: bool,
    pub(super) reached: OnceLock<ReachedServer>,
    pub(super) entry: Option<Arc<SessionEntry>>,
    /// Bytes to the server and to the client, set when the relay ends.
    pub(super) moved: OnceLock<(u64, u64)>,
    /// The record is written.
    pub(super) ended: AtomicBool,
}

impl Drop for SessionInfo {
    /// Writes the record of a session whose task was aborted.
    fn drop(&mut self) {
        if *self.ended.get_mut() {
            return;
        }
        let ServiceContext { stats, label, .. } = &*self.context;
        let (upstream_bytes, downstream_bytes) = self.moved.get().copied().unwrap_or_default();
        let outcome = Outcome::Killed {
            upstream_bytes,
            downstream_bytes,
            served: self.reached.get().is_some(),
            by: if stats.is_shutting_down() { TerminatedBy::Process } else { TerminatedBy::Service },
        };
        stats.end_aborted(label, self.entry.as_deref(), self.began, &self.record(&outcome));
    }
}

impl SessionInfo {
    /// Collects what is known about the client, if it is needed. Must be called while the client is connected.
    pub(super) fn of(
        context: &Arc<ServiceContext>,
        client: &Client,
        peer: Option<Box<Peer>>,
        began: Instant,
    ) -> Option<Box<Self>> {
        let peer = peer.or_else(|| context.needs_client().then(|| Box::new(Peer::of(&client.socket))))?;
        let mut info = Box::new(Self::new(context, peer, began));
        info.publish();
        Some(info)
    }

    pub(super) fn new(context: &Arc<ServiceContext>, peer: Box<Peer>, began: Instant) -> Self {
        Self {
            context: Arc::clone(context),
            began,
            peer,
            asleep: context.service.is_asleep(),
            reached: OnceLock::new(),
            entry: None,
            moved: OnceLock::new(),
            ended: AtomicBool::new(false),
        }
    }

    /// Adds the session to the session table, once the client's address is final.
    pub(super) fn publish(&mut self) {
        proxy_protocol::assign_unique_id(&mut self.peer, self.context.proxy_protocol);
        self.entry = self.context.stats.track(&self.peer, self.began);
    }

    /// Returns whether the session is in the session table.
    pub(super) fn is_published(&self) -> bool {
        self.entry.is_some()
    }

    /// Returns the record of a session that ends now.
    pub(super) fn record<'a>(&'a self, outcome: &'a Outcome) -> Record<'a> {
        let reached = self.reached.get();
        Record {
            client: &self.peer,
            server: reached.and_then(|reached| reached.server.as_deref()),
            asleep: self.asleep,
            held: reached.map_or(Duration::ZERO, |reached| reached.at.duration_since(self.began)),
            lasted: self.began.elapsed(),
            outcome,
        }
    }
}
