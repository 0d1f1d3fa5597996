//! What the log and the server's clients learn of strangers.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use dormouse_activate::{LogFn, LogLine};
use dormouse_config::spelling::Spelling;

use crate::upstream::wakeable::WakeableServer;
use dormouse_connect::ConnectError;

/// The shortest time between two lines about strangers. A stranger may take any number of sockets, one after another.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Reports strangers at the address of one server.
pub(super) struct Report {
    /// The server has the check, too.
    server: Weak<WakeableServer>,
    log: LogFn,
    /// The name of the workload.
    workload: String,
    /// How advice names the settings of the service.
    spelling: Spelling,
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
    pub(super) fn new(
        server: &Arc<WakeableServer>,
        log: LogFn,
        workload: String,
        spelling: Spelling,
    ) -> Self {
        let (last, warned, unknown) = (Mutex::default(), AtomicBool::default(), AtomicBool::default());
        let server = Arc::downgrade(server);
        Self { server, log, workload, spelling, last, warned, unknown }
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
            let allow = self.spelling.write("wake.foreign_listener", "\"allow\"");
            (self.log)(LogLine::Warning(&format!(
                "{what}; no client is sent there. Stop that process, let the server listen on a UNIX socket in a \
                 private directory, or write {allow} if that process may get the clients"
            )));
            *last = Some((what, Instant::now()));
        }
    }

    /// Records as the reason of a failed start that the socket of the server does not let dormouse in.
    pub(super) fn denied(&self, error: &ConnectError) {
        if let Some(server) = self.server.upgrade() {
            server.set_start_problem(&format!(
                "{error}; let the user of dormouse connect: by the umask of the program, by a chmod of the socket, or by a \
                 group in common"
            ));
        }
    }

    /// Returns whether listeners that appeared after the start are still to be looked at.
    pub(super) fn begin_warning(&self) -> bool {
        !self.warned.swap(true, Ordering::Relaxed)
    }

    /// Warns of a stranger who has listened since the start of the workload, and who gets its clients.
    pub(super) fn warn(&self, address: &str, name: &str) {
        (self.log)(LogLine::Warning(&format!(
            "{address} belongs to {name}, not to {0}; clients are sent there, because that process began to listen \
             after {0} was started. Stop it if it must not get them",
            self.workload
        )));
    }

    /// Reports once that the owner of a listener is unknown.
    pub(super) fn unknown(&self, reason: &str) {
        if !self.unknown.swap(true, Ordering::Relaxed) {
            (self.log)(LogLine::Notice(&format!(
                "cannot find out which process listens for {}: {reason}; clients are sent there",
                self.workload
            )));
        }
    }
}
