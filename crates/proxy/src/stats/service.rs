//! The stats of a service, or of the process: what sessions report, and the counters that they change.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use dormouse_log::{Level, Log, Recurring};
use tokio::sync::Notify;

use super::access_log;
use super::cause::Cause;
use super::count::StartTime;
use super::counters::{Counters, ServerCounters, ServerStats};
use super::record::Record;
use super::sessions::{SessionEntry, SessionTable};
use crate::client::Peer;

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

/// A session that has a server, for as long as it does, however it ends.
#[derive(Debug)]
pub struct ServedGuard<'a>(&'a Counters);

impl Drop for ServedGuard<'_> {
    fn drop(&mut self) {
        self.0.served.dec();
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
        self.write_record(label, record);
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
        self.write_record(label, record);
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

    /// Writes a session's line to the access log, if it is enabled.
    fn write_record(&self, label: &str, record: &Record<'_>) {
        if !self.log.logs_sessions() {
            return;
        }
        let open = self.counters.open.get();
        let process = self.parent.as_ref().map_or(open, |parent| parent.counters.open.get());
        let origin = access_log::Origin { service: &self.name, open, open_in_process: process + 1 };
        access_log::write(&self.log, label, record, &origin);
    }

    fn with_parents(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |stats| stats.parent.as_deref())
    }
}
