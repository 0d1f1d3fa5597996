//! What is told of sessions: one record each, the totals, the log. Nothing else counts anything.

pub mod count;
pub mod counters;
mod line;
pub mod sessions;
pub mod wake;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use dormouse_log::{Level, Log, Recurring};
use dormouse_relay::Report;
use tokio::sync::Notify;

use crate::client::Peer;
use crate::refusal::Refusal;
use count::{Counter, Histogram, Rate, StartTime};
use counters::{Cause, CauseCounts, ServerCounters};
use sessions::{SessionEntry, SessionTable};

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
        by: TerminatedBy,
    },
}

/// Who asks for a session's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminatedBy {
    /// Somebody who looks at sessions.
    Administrator,
    /// Its service, which has become another one.
    Service,
    /// The process, which ends.
    Process,
}

impl fmt::Display for TerminatedBy {
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
    pub server: Option<&'a ServerStats>,
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
pub struct Stats {
    /// Where lines go.
    pub log: Log,
    /// Since when everything is counted.
    pub start_time: StartTime,
    /// What is counted.
    pub counters: Counters,
    /// Whose totals these are.
    name: Arc<str>,
    servers: Mutex<Vec<Arc<ServerStats>>>,
    /// Counts the same for several.
    parent: Option<Arc<Stats>>,
    /// Where sessions are known one by one, if somebody may ask or might.
    sessions: Arc<OnceLock<Arc<SessionTable>>>,
    /// Somebody may ask.
    watched: Arc<AtomicBool>,
    ending: AtomicBool,
    changed: Notify,
}

/// A server's line in the stats.
#[derive(Debug)]
pub struct ServerStats {
    /// Its name in its service.
    pub name: String,
    /// What is counted of it.
    pub counters: ServerCounters,
}

/// What is counted of sessions.
#[derive(Debug, Default)]
pub struct Counters {
    /// Sessions that are open now.
    pub open: Counter,
    /// Those of them that have a server; of a service only.
    pub served: Counter,
    /// The most that waited for a server when another client came; of a service only.
    pub max_waiting: Counter,
    /// The most that were open at once.
    pub max: Counter,
    /// Sessions since the start.
    pub accepted: Counter,
    /// How often they come.
    pub rate: Rate,
    /// Those of them that no server took.
    pub unserved: Counter,
    /// Clients turned away at the limit.
    pub refused: Counter,
    /// Bytes from clients to servers.
    pub bytes_in: Counter,
    /// Bytes from servers to clients.
    pub bytes_out: Counter,
    /// How they ended; of a service only.
    pub ends: CauseCounts,
    /// How long until they had a server; only while somebody may ask.
    pub reached: Histogram,
    /// How long they lasted; only while somebody may ask.
    pub lasted: Histogram,
}

impl Counters {
    /// Clients that have no server yet.
    pub fn waiting(&self) -> u64 {
        self.open.get().saturating_sub(self.served.get())
    }
}

/// A session that has a server, for as long as it does, however it ends.
#[derive(Debug)]
pub struct ServedGuard<'a>(&'a Counters);

impl Drop for ServedGuard<'_> {
    fn drop(&mut self) {
        self.0.served.dec();
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

impl Stats {
    /// Empty totals.
    pub fn new(log: Log) -> Self {
        Self {
            log,
            start_time: StartTime::now(),
            counters: Counters::default(),
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
    pub fn track_sessions(&self, on: bool) {
        if on {
            self.sessions.get_or_init(Arc::default);
        }
        self.watched.store(on, Ordering::Relaxed);
    }

    fn tracked(&self) -> Option<&Arc<SessionTable>> {
        self.sessions.get().filter(|_| self.watched.load(Ordering::Relaxed))
    }

    /// Empty totals of a service, that are also counted by another.
    pub fn for_service(parent: Arc<Self>, log: Log, name: &str) -> Self {
        Self {
            name: Arc::from(name),
            start_time: parent.start_time,
            sessions: Arc::clone(&parent.sessions),
            watched: Arc::clone(&parent.watched),
            parent: Some(parent),
            ..Self::new(log)
        }
    }

    /// These are its servers from now on. Those of the same name go on counting.
    pub fn set_servers<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Arc<ServerStats>> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = |name: &str| {
            let known = servers.iter().find(|server| server.name == name);
            known.cloned().unwrap_or_else(|| {
                Arc::new(ServerStats { name: name.to_owned(), counters: ServerCounters::default() })
            })
        };
        *servers = names.map(entry).collect();
        servers.clone()
    }

    /// Where sessions are known one by one, if somebody may ask.
    pub fn sessions(&self) -> Option<&Arc<SessionTable>> {
        self.sessions.get()
    }

    /// Whether somebody wants to know who each client is.
    pub fn needs_client(&self) -> bool {
        self.tracked().is_some() || self.log.logs_sessions()
    }

    /// A session begins.
    pub fn begin(&self, now: Instant) {
        let at = self.start_time.since_start(now);
        self.counters.max_waiting.raise_to(self.counters.waiting());
        for stats in self.with_parents() {
            let counters = &stats.counters;
            counters.open.inc();
            counters.max.raise_to(counters.open.get());
            counters.accepted.inc();
            counters.rate.event(at);
            stats.changed.notify_one();
        }
    }

    /// The session is one of those that are known one by one, if any are.
    pub fn track(&self, client: &Peer, began: Instant) -> Option<Arc<SessionEntry>> {
        Some(self.tracked()?.begin(&self.name, client.clone(), began))
    }

    /// A session has a server from now on. Counted of each, also of those of whom nothing else is known.
    pub fn count_served(&self) -> ServedGuard<'_> {
        self.counters.served.inc();
        ServedGuard(&self.counters)
    }

    /// A session that began then, and of which more is known, has got a server now.
    pub fn server_reached(
        &self,
        server: Option<&Arc<ServerStats>>,
        began: Instant,
        now: Instant,
        entry: Option<&SessionEntry>,
    ) {
        if let Some(server) = server {
            server.counters.begin(self.start_time.since_start(now));
            if let Some(entry) = entry {
                entry.served(server);
            }
        }
        if self.tracked().is_some() {
            self.counters.reached.add(now.duration_since(began));
        }
    }

    /// A session moved so many bytes more.
    pub fn moved(&self, server: Option<&ServerStats>, (up, down): (u64, u64)) {
        if (up, down) == (0, 0) {
            return;
        }
        for stats in self.with_parents() {
            stats.counters.bytes_in.add(up);
            stats.counters.bytes_out.add(down);
        }
        if let Some(server) = server {
            server.counters.moved(up, down);
        }
    }

    /// A session has ended; `label` begins its line in the log.
    pub fn end(&self, label: &str, entry: Option<&SessionEntry>, began: Instant, record: &Record<'_>) {
        self.counters.ends.add(Cause::of(record.outcome));
        self.count_ended(entry, began, record);
        for stats in self.with_parents() {
            stats.counters.open.dec();
            if !record.outcome.served() {
                stats.counters.unserved.inc();
            }
            stats.changed.notify_one();
        }
        self.tell(label, record);
    }

    /// So many sessions are ended before their time. Those of whom something is known are told of one by one.
    pub fn count_aborted(&self, sessions: usize) {
        for _ in 0..sessions {
            self.counters.ends.add(Cause::Killed);
            for stats in self.with_parents() {
                stats.counters.open.dec();
                stats.changed.notify_one();
            }
        }
    }

    /// One of those that were cut has ended.
    pub fn end_aborted(
        &self,
        label: &str,
        entry: Option<&SessionEntry>,
        began: Instant,
        record: &Record<'_>,
    ) {
        self.count_ended(entry, began, record);
        if !record.outcome.served() {
            for stats in self.with_parents() {
                stats.counters.unserved.inc();
            }
        }
        self.tell(label, record);
    }

    /// What is known of a session is counted at its end.
    fn count_ended(&self, entry: Option<&SessionEntry>, began: Instant, record: &Record<'_>) {
        let bytes = record.outcome.bytes();
        self.moved(record.server, entry.map_or(bytes, |entry| entry.moved(bytes.0, bytes.1)));
        if let Some(server) = record.server {
            server.counters.end(Cause::of(record.outcome));
        }
        if self.tracked().is_some() {
            self.counters.lasted.add(began.elapsed());
        }
        // It is known from when somebody could ask.
        if let (Some(sessions), Some(entry)) = (self.sessions.get(), entry) {
            sessions.end(entry);
        }
    }

    /// A client was turned away at the limit.
    pub fn refuse(&self) {
        for stats in self.with_parents() {
            stats.counters.refused.inc();
            stats.changed.notify_one();
        }
        self.log.recurring(
            Recurring::AtLimit,
            Level::Warning,
            format_args!("Hit connection limit, refusing connection."),
        );
    }

    /// The totals now.
    pub fn totals(&self) -> Totals {
        let Counters { open, accepted, unserved, refused, .. } = &self.counters;
        Totals {
            open: open.get(),
            accepted: accepted.get(),
            unserved: unserved.get(),
            refused: refused.get(),
        }
    }

    /// Nobody new is served any more, neither here nor in the services within.
    pub fn begin_shutdown(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether nobody new is served any more.
    pub fn is_shutting_down(&self) -> bool {
        self.with_parents().any(|stats| stats.ending.load(Ordering::Relaxed))
    }

    /// The maxima begin anew.
    pub fn reset_max(&self) {
        let (counters, now) = (&self.counters, self.start_time.elapsed());
        counters.max.set(counters.open.get());
        counters.max_waiting.set(0);
        counters.rate.reset_max(now);
        counters.reached.reset_max();
        counters.lasted.reset_max();
        for server in self.servers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            server.counters.max.set(server.counters.open.get());
            server.counters.rate.reset_max(now);
        }
    }

    /// Waits until a total has changed since the last time that this was awaited.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn with_parents(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |stats| stats.parent.as_deref())
    }
}
