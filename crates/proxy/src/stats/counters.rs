//! The counters of a server, and the counts of how sessions ended.

use std::time::Duration;

use super::cause::Cause;
use super::count::{Counter, Histogram, Rate};

/// How sessions ended, by cause.
#[derive(Debug, Default)]
pub struct CauseCounts([Counter; Cause::ALL.len()]);

impl CauseCounts {
    /// One ended so.
    pub(super) fn add(&self, cause: Cause) {
        if let Some(count) = self.0.get(cause.index()) {
            count.inc();
        }
    }

    /// How many ended so.
    pub fn get(&self, cause: Cause) -> u64 {
        self.0.get(cause.index()).map_or(0, Counter::get)
    }
}

/// What is counted of a server.
#[derive(Debug, Default)]
pub struct ServerCounters {
    /// Sessions that it has now.
    pub open: Counter,
    /// The most that it had at once.
    pub max: Counter,
    /// Sessions that it got.
    pub sessions: Counter,
    /// How often it gets one.
    pub rate: Rate,
    /// Bytes that it got.
    pub bytes_in: Counter,
    /// Bytes that came from it.
    pub bytes_out: Counter,
    /// Sessions that its end, reset or failure ended.
    pub aborted: Counter,
    /// Sessions that the client's did.
    pub aborted_by_client: Counter,
    /// Milliseconds after the start_time of all when it last got one, and one more; 0 if it never did.
    pub last: Counter,
}

impl ServerCounters {
    /// A session got it.
    pub fn begin(&self, at: Duration) {
        self.open.inc();
        self.max.raise_to(self.open.get());
        self.sessions.inc();
        self.rate.event(at);
        self.last.set(u64::try_from(at.as_millis()).unwrap_or(u64::MAX).saturating_add(1));
    }

    /// So many bytes went to it, and came from it.
    pub fn moved(&self, up: u64, down: u64) {
        self.bytes_in.add(up);
        self.bytes_out.add(down);
    }

    /// Its session ended.
    pub fn end(&self, cause: Cause) {
        self.open.dec();
        match cause.side() {
            "client" => self.aborted_by_client.inc(),
            "server" => self.aborted.inc(),
            _ => {}
        }
    }
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
