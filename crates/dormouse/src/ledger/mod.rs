//! What is told of sessions: one record each, the totals, the log. Nothing else counts anything.

pub mod log;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use dormouse_relay::Report;
use tokio::sync::Notify;

use crate::connect::Peer;
use crate::service::Refusal;
use log::{Level, Log, Recurring};

/// How a session went.
#[derive(Debug)]
pub enum Outcome {
    /// It was relayed to its end.
    Relayed(Report),
    /// No server took it.
    Unserved(Refusal),
}

/// A session's record.
#[derive(Debug)]
pub struct Record {
    /// Who connected.
    pub client: Peer,
    /// From accepting it to the server's socket.
    pub held: Duration,
    /// From accepting it to its end.
    pub lasted: Duration,
    /// How it went.
    pub outcome: Outcome,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = Client(&self.client);
        let (held, lasted) = (self.held.as_secs_f64() * 1e3, self.lasted.as_secs_f64() * 1e3);
        match &self.outcome {
            Outcome::Relayed(Report { upstream_bytes, downstream_bytes, end }) => write!(
                f,
                "Session from {client}: held {held:.1} ms, lasted {lasted:.1} ms, {upstream_bytes} bytes up, \
                 {downstream_bytes} bytes down: {end}"
            ),
            Outcome::Unserved(refusal) => {
                write!(f, "Session from {client}: lasted {lasted:.1} ms, not served: {refusal}")
            }
        }
    }
}

/// A client, and the name that its session has for the server.
struct Client<'a>(&'a Peer);

impl fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        self.0.unique_id().map_or(Ok(()), |id| write!(f, " ({id})"))
    }
}

/// The totals, and the log that they go to.
#[derive(Debug)]
pub struct Ledger {
    /// Where lines go.
    pub log: Log,
    /// Counts the same for several.
    parent: Option<Arc<Ledger>>,
    open: AtomicUsize,
    accepted: AtomicU64,
    unserved: AtomicU64,
    refused: AtomicU64,
    changed: Notify,
}

/// The totals at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Sessions that are open now.
    pub open: usize,
    /// Sessions since the start.
    pub accepted: u64,
    /// Those of them that no server took.
    pub unserved: u64,
    /// Clients turned away at the limit.
    pub refused: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} open, {} accepted, {} not served", self.open, self.accepted, self.unserved)?;
        if self.refused > 0 { write!(f, ", {} refused", self.refused) } else { Ok(()) }
    }
}

impl Ledger {
    /// Empty totals.
    pub fn new(log: Log) -> Self {
        Self {
            log,
            parent: None,
            open: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            unserved: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    /// Empty totals that are also counted by another.
    pub fn within(parent: Arc<Self>, log: Log) -> Self {
        Self { parent: Some(parent), ..Self::new(log) }
    }

    /// A session begins.
    pub fn begin(&self) {
        if let Some(parent) = &self.parent {
            parent.begin();
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// A session has ended; `label` begins its line in the log.
    pub fn end(&self, label: &str, record: impl FnOnce() -> Record, served: bool) {
        self.count_end(served);
        if self.log.wants(Level::Debug) {
            self.log.line(Level::Debug, format_args!("{label}{}", record()));
        }
    }

    /// So many sessions were ended before their time, without a record of their own.
    pub fn cut(&self, sessions: usize) {
        (0..sessions).for_each(|_| self.count_end(true));
    }

    fn count_end(&self, served: bool) {
        if let Some(parent) = &self.parent {
            parent.count_end(served);
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
        if !served {
            self.unserved.fetch_add(1, Ordering::Relaxed);
        }
        self.changed.notify_one();
    }

    /// A client was turned away at the limit.
    pub fn refuse(&self) {
        for ledger in std::iter::once(self).chain(self.parent.as_deref()) {
            ledger.refused.fetch_add(1, Ordering::Relaxed);
            ledger.changed.notify_one();
        }
        self.log.recurring(
            Recurring::AtLimit,
            Level::Warning,
            format_args!("Hit connection limit, refusing connection."),
        );
    }

    /// The totals now.
    pub fn totals(&self) -> Totals {
        Totals {
            open: self.open.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            unserved: self.unserved.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// Waits until a total has changed since the last time that this was awaited.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}
