//! What the log and the server's clients learn of strangers.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use dormouse_activate::{LogFn, LogLine};

use crate::upstream::wakeable::WakeableServer;

/// The shortest time between two lines about strangers. A stranger may take any number of sockets, one after another.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Reports strangers at the address of one server.
pub(super) struct Report {
    /// The server has the check, too.
    server: Weak<WakeableServer>,
    log: LogFn,
    /// The name of the workload.
    workload: String,
    /// The last line about a stranger, and its time.
    last: Mutex<Option<(String, Instant)>>,
    /// Listeners that appeared after the start were looked at.
    warned: AtomicBool,
    /// The line about an unknown owner was written.
    unknown: AtomicBool,
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report").field("workload", &self.workload).finish_non_exhaustive()
    }
}

impl Report {
    pub(super) fn new(server: &Arc<WakeableServer>, log: LogFn, workload: String) -> Self {
        let (last, warned, unknown) = (Mutex::default(), AtomicBool::default(), AtomicBool::default());
        let server = Arc::downgrade(server);
        Self { server, log, workload, last, warned, unknown }
    }

    /// Reports a stranger whose listener is refused.
    pub(super) fn refused(&self, address: &str, name: &str) {
        let what = format!("{address} belongs to {name}, not to {}", self.workload);
        if let Some(server) = self.server.upgrade() {
            server.set_start_problem(&what);
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.as_ref().is_none_or(|(line, when)| *line != what && when.elapsed() >= LOG_INTERVAL);
        if is_due {
            (self.log)(LogLine::Warning(&format!(
                "{what}; it gets no client. Stop it, use a UNIX socket in a private directory, or set wake.foreign_listener = \"allow\""
            )));
            *last = Some((what, Instant::now()));
        }
    }

    /// Returns whether listeners that appeared after the start are still to be looked at.
    pub(super) fn begin_warning(&self) -> bool {
        !self.warned.swap(true, Ordering::Relaxed)
    }

    /// Warns of a stranger who has listened since the start of the workload, and who gets its clients.
    pub(super) fn warn(&self, address: &str, name: &str) {
        (self.log)(LogLine::Warning(&format!(
            "{address} belongs to {name}, not to {}; it gets the clients, because it appeared after the start",
            self.workload
        )));
    }

    /// Reports once that the owner of a listener is unknown.
    pub(super) fn unknown(&self, reason: &str) {
        if !self.unknown.swap(true, Ordering::Relaxed) {
            (self.log)(LogLine::Notice(&format!(
                "cannot tell whether the listener belongs to {}: {reason}; it is used",
                self.workload
            )));
        }
    }
}
