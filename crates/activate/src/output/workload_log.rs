//! The log of one workload, with the limit of what its programs may write there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::limit::{Amount, BYTES, LINES, Limit, PERIOD};
use crate::{LogFn, LogLine};

/// The longest status that is logged, in bytes. The rest of a longer one is cut off.
const MAX_STATUS: usize = 512;

/// The log of one workload. Clones share the limit.
#[derive(Clone)]
pub(crate) struct WorkloadLog {
    log: LogFn,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    limit: Limit,
    /// The last status that was logged.
    status: String,
}

impl WorkloadLog {
    /// Creates the log of a workload, whose lines go to `log`.
    pub(crate) fn new(log: LogFn) -> Self {
        Self { log, state: Arc::default() }
    }

    /// Logs a line that a program of the workload wrote, within the limit.
    pub(super) fn output(&self, line: &str) {
        let admitted = self.state().limit.admit(line.len() as u64 + 1, Instant::now());
        if admitted {
            (self.log)(LogLine::Output(line));
        }
    }

    /// Logs the status that a program of the workload reports (`STATUS=`), within the same limit. A status that does not
    /// change is logged once.
    pub(crate) fn status(&self, status: &str) {
        let (status, now) = (shorten(status), Instant::now());
        let (admitted, report) = {
            let mut state = self.state();
            if state.status == status {
                return;
            }
            let admitted = state.limit.admit(status.len() as u64 + 1, now);
            if admitted {
                state.status.clone_from(&status);
            }
            (admitted, state.limit.report_due().is_some_and(|due| due <= now))
        };
        if report {
            self.report();
        }
        if admitted {
            (self.log)(LogLine::Output(&format!("STATUS={status}")));
        }
    }

    /// Counts output that is not logged.
    pub(super) fn discard(&self, bytes: &[u8]) {
        let lines = bytes.iter().fold(0, |lines, byte| lines + u64::from(*byte == b'\n'));
        self.state().limit.discard(Amount { lines, bytes: bytes.len() as u64 }, Instant::now());
    }

    /// Returns whether nothing more may be logged now.
    pub(super) fn is_exhausted(&self) -> bool {
        self.state().limit.is_exhausted(Instant::now())
    }

    /// Returns when to call [`Self::report`].
    pub(super) fn report_due(&self) -> Option<tokio::time::Instant> {
        self.state().limit.report_due().map(Into::into)
    }

    /// Reports what was suppressed, if anything was.
    pub(crate) fn report(&self) {
        let Some(Amount { lines, bytes }) = self.state().limit.take_report() else { return };
        let text = format!(
            "its output exceeds {LINES} lines or {} MiB in {} s; suppressed {lines} lines, {bytes} bytes",
            BYTES >> 20,
            PERIOD.as_secs()
        );
        (self.log)(LogLine::Warning(&text));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts a status off at its longest length.
fn shorten(status: &str) -> String {
    if status.len() <= MAX_STATUS {
        return status.to_owned();
    }
    let mut end = MAX_STATUS;
    while !status.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", status.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_short_and_limited() {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let into = Arc::clone(&lines);
        let log = WorkloadLog::new(Arc::new(move |line: LogLine<'_>| match line {
            LogLine::Notice(text) | LogLine::Warning(text) | LogLine::Output(text) => {
                into.lock().unwrap().push(text.to_owned());
            }
        }));
        log.status(&"ä".repeat(MAX_STATUS));
        for _ in 0..3 {
            log.status("all well");
        }
        assert_eq!(
            *lines.lock().unwrap(),
            [format!("STATUS={}…", "ä".repeat(MAX_STATUS / 2)), "STATUS=all well".to_owned()]
        );
        for number in 0..20_000 {
            log.status(&number.to_string());
        }
        assert_eq!(lines.lock().unwrap().len() as u64, LINES);
        log.report();
        let report = lines.lock().unwrap().last().cloned().unwrap();
        assert!(report.contains("suppressed 10002 lines"), "{report}");
    }
}
