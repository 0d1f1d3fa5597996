//! The stats of a service, or of the process: what sessions report, and the counters that they change.

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
use super::totals::{ServedGuard, Totals};
use crate::client::Peer;

/// The counters, session table and log of a service or of the process.
#[derive(Debug)]
pub struct Stats {
    /// The log.
    pub log: Log,
    /// The time at which counting started.
    pub start_time: StartTime,
    /// The counters.
    pub counters: Counters,
    /// The name of the service.
    name: Arc<str>,
    servers: Mutex<Vec<Arc<ServerStats>>>,
    /// The stats of the process, which count the same sessions.
    parent: Option<Arc<Stats>>,
    /// The session table, created when sessions are first tracked.
    sessions: Arc<OnceLock<Arc<SessionTable>>>,
    /// Whether new sessions are tracked.
    watched: Arc<AtomicBool>,
    ending: AtomicBool,
    changed: Notify,
}

impl Stats {
    /// Creates empty stats of the process.
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

    /// Sets whether new sessions are added to the session table, also those of the services.
    pub fn track_sessions(&self, on: bool) {
        if on {
            self.sessions.get_or_init(Arc::default);
        }
        self.watched.store(on, Ordering::Relaxed);
    }

    fn tracked(&self) -> Option<&Arc<SessionTable>> {
        self.sessions.get().filter(|_| self.watched.load(Ordering::Relaxed))
    }

    /// Creates empty stats of a service, whose sessions the stats of the process count too.
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

    /// Sets the servers. Servers of the same name keep their counters.
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

    /// Returns the session table, if sessions were ever tracked.
    pub fn sessions(&self) -> Option<&Arc<SessionTable>> {
        self.sessions.get()
    }

    /// Returns whether the address of each client is needed.
    pub fn needs_client(&self) -> bool {
        self.tracked().is_some() || self.log.logs_sessions()
    }

    /// Counts a new session.
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

    /// Adds a session to the session table, if sessions are tracked.
    pub fn track(&self, client: &Peer, began: Instant) -> Option<Arc<SessionEntry>> {
        Some(self.tracked()?.begin(&self.name, client.clone(), began))
    }

    /// Counts a session that has a server, until the guard is dropped.
    pub fn count_served(&self) -> ServedGuard<'_> {
        self.counters.served.inc();
        ServedGuard(&self.counters)
    }

    /// Records that a session got its server.
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

    /// Counts more bytes of a session.
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

    /// Records the end of a session; `label` is the prefix of its log line.
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

    /// Counts sessions that are aborted. [`Self::end_aborted`] records each one of which details are known.
    pub fn count_aborted(&self, sessions: usize) {
        for _ in 0..sessions {
            self.counters.ends.add(Cause::Killed);
            for stats in self.with_parents() {
                stats.counters.open.dec();
                stats.changed.notify_one();
            }
        }
    }

    /// Records the end of an aborted session.
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

    /// Counts the details of a session at its end.
    fn count_ended(&self, entry: Option<&SessionEntry>, began: Instant, record: &Record<'_>) {
        let bytes = record.outcome.bytes();
        self.moved(record.server, entry.map_or(bytes, |entry| entry.moved(bytes.0, bytes.1)));
        if let Some(server) = record.server {
            server.counters.end(Cause::of(record.outcome));
        }
        if self.tracked().is_some() {
            self.counters.lasted.add(began.elapsed());
        }
        // The session may have been added before tracking was disabled.
        if let (Some(sessions), Some(entry)) = (self.sessions.get(), entry) {
            sessions.end(entry);
        }
    }

    /// Counts and logs a client refused at the limit.
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

    /// Returns the totals.
    pub fn totals(&self) -> Totals {
        let Counters { open, accepted, unserved, refused, .. } = &self.counters;
        Totals {
            open: open.get(),
            accepted: accepted.get(),
            unserved: unserved.get(),
            refused: refused.get(),
        }
    }

    /// Marks the service, or the process and its services, as shutting down.
    pub fn begin_shutdown(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Returns whether the service or the process is shutting down.
    pub fn is_shutting_down(&self) -> bool {
        self.with_parents().any(|stats| stats.ending.load(Ordering::Relaxed))
    }

    /// Resets the maxima.
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

    /// Waits until a total changes. A change since the last call counts.
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
