//! The counters of a server, and the counts of how sessions ended.

use std::time::Duration;

use super::cause::Cause;
use super::count::{Counter, Histogram, Rate};

/// The number of ended sessions by cause.
#[derive(Debug, Default)]
pub struct CauseCounts([Counter; Cause::ALL.len()]);

impl CauseCounts {
    /// Counts a session.
    pub(super) fn add(&self, cause: Cause) {
        if let Some(count) = self.0.get(cause.index()) {
            count.inc();
        }
    }

    /// Returns the number of sessions with a cause.
    pub fn get(&self, cause: Cause) -> u64 {
        self.0.get(cause.index()).map_or(0, Counter::get)
    }
}

/// The counters of a server.
#[derive(Debug, Default)]
pub struct ServerCounters {
    /// Open sessions.
    pub open: Counter,
    /// The maximum of open sessions.
    pub max: Counter,
    /// Sessions since the start.
    pub sessions: Counter,
    /// Sessions per second.
    pub rate: Rate,
    /// Bytes sent to the server.
    pub bytes_in: Counter,
    /// Bytes received from the server.
    pub bytes_out: Counter,
    /// Sessions that the server aborted.
    pub aborted: Counter,
    /// Sessions that the client aborted.
    pub aborted_by_client: Counter,
    /// The time of the last session in milliseconds after the start, plus one; 0 if there was none.
    pub last: Counter,
}

impl ServerCounters {
    /// Counts a new session.
    pub fn begin(&self, at: Duration) {
        self.open.inc();
        self.max.raise_to(self.open.get());
        self.sessions.inc();
        self.rate.event(at);
        self.last.set(u64::try_from(at.as_millis()).unwrap_or(u64::MAX).saturating_add(1));
    }

    /// Counts bytes sent and received.
    pub fn moved(&self, up: u64, down: u64) {
        self.bytes_in.add(up);
        self.bytes_out.add(down);
    }

    /// Counts the end of a session.
    pub fn end(&self, cause: Cause) {
        self.open.dec();
        match cause.side() {
            "client" => self.aborted_by_client.inc(),
            "server" => self.aborted.inc(),
            _ => {}
        }
    }
}

/// The stats of a server.
#[derive(Debug)]
pub struct ServerStats {
    /// The name of the server in its service.
    pub name: String,
    /// The counters.
    pub counters: ServerCounters,
}

/// The counters of a service or of the process.
#[derive(Debug, Default)]
pub struct Counters {
    /// Open sessions.
    pub open: Counter,
    /// Open sessions that have a server; for a service only.
    pub served: Counter,
    /// The maximum number of clients that waited for a server when another arrived; for a service only.
    pub max_waiting: Counter,
    /// The maximum of open sessions.
    pub max: Counter,
    /// Sessions since the start.
    pub accepted: Counter,
    /// Sessions per second.
    pub rate: Rate,
    /// Sessions that no server took.
    pub unserved: Counter,
    /// Clients refused at the limit.
    pub refused: Counter,
    /// Bytes from clients to servers.
    pub bytes_in: Counter,
    /// Bytes from servers to clients.
    pub bytes_out: Counter,
    /// Ended sessions by cause; for a service only.
    pub ends: CauseCounts,
    /// The time until a session had a server; only while an admin interface is open.
    pub reached: Histogram,
    /// The duration of sessions; only while an admin interface is open.
    pub lasted: Histogram,
}

impl Counters {
    /// Returns the number of clients that wait for a server.
    pub fn waiting(&self) -> u64 {
        self.open.get().saturating_sub(self.served.get())
    }
}
