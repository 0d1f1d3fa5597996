//! What is told of sessions: one record each, the totals, the log. Nothing else counts anything.

pub mod count;
pub mod counters;
mod line;
pub mod sessions;
pub mod sleep;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use dormouse_log::{Level, Log, Recurring};
use dormouse_relay::Report;
use tokio::sync::Notify;

use crate::client::Peer;
use crate::refusal::Refusal;
use count::{Beginning, Count, Histogram, Rate};
use counters::{Cause, Ends, ServerCounters};
use sessions::{Entry, Sessions};

/// How a session went.
#[derive(Debug)]
pub enum Outcome {
    /// It was relayed to its end.
    Relayed(Report),
    /// No server took it.
    Unserved(Refusal),
    /// Somebody asked for its end.
    Killed {
        /// Bytes passed from the client to the server.
        upstream_bytes: u64,
        /// Bytes passed from the server to the client.
        downstream_bytes: u64,
        /// It had a server.
        served: bool,
        /// Who did.
        by: Ender,
    },
}

/// Who asks for a session's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ender {
    /// Somebody who looks at sessions.
    Administrator,
    /// Its service, which has become another one.
    Service,
    /// The process, which ends.
    Process,
}

impl fmt::Display for Ender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Administrator => "ended by an administrator",
            Self::Service => "ended with its service (drain_timeout)",
            Self::Process => "ended with the process",
        })
    }
}

impl Outcome {
    /// Whether a server took it.
    pub fn served(&self) -> bool {
        match self {
            Self::Relayed(_) => true,
            Self::Unserved(_) => false,
            Self::Killed { served, .. } => *served,
        }
    }

    /// Bytes that went to the server, and that came from it.
    pub fn bytes(&self) -> (u64, u64) {
        match self {
            Self::Relayed(report) => (report.upstream_bytes, report.downstream_bytes),
            Self::Killed { upstream_bytes, downstream_bytes, .. } => (*upstream_bytes, *downstream_bytes),
            Self::Unserved(_) => (0, 0),
        }
    }
}

/// A session's record.
#[derive(Debug)]
pub struct Record<'a> {
    /// Who connected.
    pub client: &'a Peer,
    /// Which server it had.
    pub server: Option<&'a ServerEntry>,
    /// What was behind slept when it came.
    pub asleep: bool,
    /// From accepting it to the server's socket.
    pub held: Duration,
    /// From accepting it to its end.
    pub lasted: Duration,
    /// How it went.
    pub outcome: &'a Outcome,
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = Client(self.client);
        let (held, lasted) = (self.held.as_secs_f64() * 1e3, self.lasted.as_secs_f64() * 1e3);
        match self.outcome {
            Outcome::Relayed(Report { upstream_bytes, downstream_bytes, end }) => write!(
                f,
                "Session from {client}: held {held:.1} ms, lasted {lasted:.1} ms, {upstream_bytes} bytes up, \
                 {downstream_bytes} bytes down: {end}"
            ),
            Outcome::Killed { upstream_bytes, downstream_bytes, by, .. } => write!(
                f,
                "Session from {}: lasted {lasted:.1} ms, {upstream_bytes} bytes up, {downstream_bytes} bytes down: {by}",
                self.client
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
    /// Since when everything is counted.
    pub beginning: Beginning,
    /// What is counted.
    pub figures: Figures,
    /// Whose totals these are.
    name: Arc<str>,
    servers: Mutex<Vec<Arc<ServerEntry>>>,
    /// Counts the same for several.
    parent: Option<Arc<Ledger>>,
    /// Where sessions are known one by one, if somebody may ask or might.
    sessions: Arc<OnceLock<Arc<Sessions>>>,
    /// Somebody may ask.
    watched: Arc<AtomicBool>,
    ending: AtomicBool,
    changed: Notify,
}

/// A server's line in the ledger.
#[derive(Debug)]
pub struct ServerEntry {
    /// Its name in its service.
    pub name: String,
    /// What is counted of it.
    pub counters: ServerCounters,
}

/// What is counted of sessions.
#[derive(Debug, Default)]
pub struct Figures {
    /// Sessions that are open now.
    pub open: Count,
    /// Those of them that have a server; of a service only.
    pub served: Count,
    /// The most that waited for a server when another client came; of a service only.
    pub most_waiting: Count,
    /// The most that were open at once.
    pub most: Count,
    /// Sessions since the start.
    pub accepted: Count,
    /// How often they come.
    pub rate: Rate,
    /// Those of them that no server took.
    pub unserved: Count,
    /// Clients turned away at the limit.
    pub refused: Count,
    /// Bytes from clients to servers.
    pub bytes_in: Count,
    /// Bytes from servers to clients.
    pub bytes_out: Count,
    /// How they ended; of a service only.
    pub ends: Ends,
    /// How long until they had a server; only while somebody may ask.
    pub reached: Histogram,
    /// How long they lasted; only while somebody may ask.
    pub lasted: Histogram,
}

impl Figures {
    /// Clients that have no server yet.
    pub fn waiting(&self) -> u64 {
        self.open.get().saturating_sub(self.served.get())
    }
}

/// A session that has a server, for as long as it does, however it ends.
#[derive(Debug)]
pub struct Serving<'a>(&'a Figures);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.served.down();
    }
}

/// The totals at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Sessions that are open now.
    pub open: u64,
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
            beginning: Beginning::now(),
            figures: Figures::default(),
            name: Arc::from(""),
            servers: Mutex::default(),
            parent: None,
            sessions: Arc::default(),
            watched: Arc::default(),
            ending: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    /// Whether sessions that begin from now on are known one by one, also those of the services within.
    pub fn watch(&self, on: bool) {
        if on {
            self.sessions.get_or_init(Arc::default);
        }
        self.watched.store(on, Ordering::Relaxed);
    }

    fn watched(&self) -> Option<&Arc<Sessions>> {
        self.sessions.get().filter(|_| self.watched.load(Ordering::Relaxed))
    }

    /// Empty totals of a service, that are also counted by another.
    pub fn within(parent: Arc<Self>, log: Log, name: &str) -> Self {
        Self {
            name: Arc::from(name),
            beginning: parent.beginning,
            sessions: Arc::clone(&parent.sessions),
            watched: Arc::clone(&parent.watched),
            parent: Some(parent),
            ..Self::new(log)
        }
    }

    /// These are its servers from now on. Those of the same name go on counting.
    pub fn enroll<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Arc<ServerEntry>> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = |name: &str| {
            let known = servers.iter().find(|server| server.name == name);
            known.cloned().unwrap_or_else(|| {
                Arc::new(ServerEntry { name: name.to_owned(), counters: ServerCounters::default() })
            })
        };
        *servers = names.map(entry).collect();
        servers.clone()
    }

    /// Where sessions are known one by one, if somebody may ask.
    pub fn sessions(&self) -> Option<&Arc<Sessions>> {
        self.sessions.get()
    }

    /// Whether somebody wants to know who each client is.
    pub fn wants_records(&self) -> bool {
        self.watched().is_some() || self.log.wants_sessions()
    }

    /// A session begins.
    pub fn begin(&self, now: Instant) {
        let at = self.beginning.until(now);
        self.figures.most_waiting.at_least(self.figures.waiting());
        for ledger in self.with_parents() {
            let figures = &ledger.figures;
            figures.open.up();
            figures.most.at_least(figures.open.get());
            figures.accepted.up();
            figures.rate.event(at);
            ledger.changed.notify_one();
        }
    }

    /// The session is one of those that are known one by one, if any are.
    pub fn enter(&self, client: &Peer, began: Instant) -> Option<Arc<Entry>> {
        Some(self.watched()?.begin(&self.name, client.clone(), began))
    }

    /// A session has a server from now on. Counted of each, also of those of whom nothing else is known.
    pub fn serve(&self) -> Serving<'_> {
        self.figures.served.up();
        Serving(&self.figures)
    }

    /// A session that began then, and of which more is known, has got a server now.
    pub fn served(
        &self,
        server: Option<&Arc<ServerEntry>>,
        began: Instant,
        now: Instant,
        entry: Option<&Entry>,
    ) {
        if let Some(server) = server {
            server.counters.begin(self.beginning.until(now));
            if let Some(entry) = entry {
                entry.served(server);
            }
        }
        if self.watched().is_some() {
            self.figures.reached.add(now.duration_since(began));
        }
    }

    /// A session moved so many bytes more.
    pub fn moved(&self, server: Option<&ServerEntry>, (up, down): (u64, u64)) {
        if (up, down) == (0, 0) {
            return;
        }
        for ledger in self.with_parents() {
            ledger.figures.bytes_in.add(up);
            ledger.figures.bytes_out.add(down);
        }
        if let Some(server) = server {
            server.counters.moved(up, down);
        }
    }

    /// A session has ended; `label` begins its line in the log.
    pub fn end(&self, label: &str, entry: Option<&Entry>, began: Instant, record: &Record<'_>) {
        self.figures.ends.add(Cause::of(record.outcome));
        self.leave(entry, began, record);
        for ledger in self.with_parents() {
            ledger.figures.open.down();
            if !record.outcome.served() {
                ledger.figures.unserved.up();
            }
            ledger.changed.notify_one();
        }
        self.tell(label, record);
    }

    /// So many sessions are ended before their time. Those of whom something is known are told of one by one.
    pub fn cut(&self, sessions: usize) {
        for _ in 0..sessions {
            self.figures.ends.add(Cause::Killed);
            for ledger in self.with_parents() {
                ledger.figures.open.down();
                ledger.changed.notify_one();
            }
        }
    }

    /// One of those that were cut has ended.
    pub fn end_cut(&self, label: &str, entry: Option<&Entry>, began: Instant, record: &Record<'_>) {
        self.leave(entry, began, record);
        if !record.outcome.served() {
            for ledger in self.with_parents() {
                ledger.figures.unserved.up();
            }
        }
        self.tell(label, record);
    }

    /// What is known of a session is counted at its end.
    fn leave(&self, entry: Option<&Entry>, began: Instant, record: &Record<'_>) {
        let bytes = record.outcome.bytes();
        self.moved(record.server, entry.map_or(bytes, |entry| entry.moved(bytes.0, bytes.1)));
        if let Some(server) = record.server {
            server.counters.end(Cause::of(record.outcome));
        }
        if self.watched().is_some() {
            self.figures.lasted.add(began.elapsed());
        }
        // It is known from when somebody could ask.
        if let (Some(sessions), Some(entry)) = (self.sessions.get(), entry) {
            sessions.end(entry);
        }
    }

    /// A client was turned away at the limit.
    pub fn refuse(&self) {
        for ledger in self.with_parents() {
            ledger.figures.refused.up();
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
        let Figures { open, accepted, unserved, refused, .. } = &self.figures;
        Totals {
            open: open.get(),
            accepted: accepted.get(),
            unserved: unserved.get(),
            refused: refused.get(),
        }
    }

    /// Nobody new is served any more, neither here nor in the services within.
    pub fn end_soon(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether nobody new is served any more.
    pub fn is_ending(&self) -> bool {
        self.with_parents().any(|ledger| ledger.ending.load(Ordering::Relaxed))
    }

    /// The maxima begin anew.
    pub fn forget_most(&self) {
        let (figures, now) = (&self.figures, self.beginning.elapsed());
        figures.most.set(figures.open.get());
        figures.most_waiting.set(0);
        figures.rate.forget_most(now);
        figures.reached.forget_most();
        figures.lasted.forget_most();
        for server in self.servers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            server.counters.most.set(server.counters.open.get());
            server.counters.rate.forget_most(now);
        }
    }

    /// Waits until a total has changed since the last time that this was awaited.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn with_parents(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |ledger| ledger.parent.as_deref())
    }
}
