//! The changes of the state in the log and in the statistics.

use std::sync::Arc;
use std::time::Instant;

use dormouse_core::activation::{Pause, State};
use dormouse_core::plural::counted;
use dormouse_log::{Level, Log};

use super::WorkloadState;

impl WorkloadState {
    /// Writes a change of the state to the log, and counts it.
    pub(in crate::upstream::workload) fn report(&mut self, log: &Log, now: Instant) {
        let (before, state) = (self.reported, self.machine.state());
        if state == before {
            return;
        }
        self.reported = state;
        for member in self.members.values() {
            member.counters.record_state(state, now);
        }
        let name = self.name();
        // The sessions' own lines report most of these.
        let routine = matches!(
            (before, state),
            (State::Ready, State::Idle)
                | (State::Idle, State::Ready)
                | (State::Freezing | State::Thawing, State::Ready | State::Idle)
        );
        let level = if routine { Level::Debug } else { Level::Info };
        match state {
            State::Starting => {
                let clients = counted(self.machine.held(), "client waits", "clients wait");
                log.line(level, format_args!("{name}: {before} → {state}, {clients}."));
            }
            State::Ready | State::Idle if before == State::Starting => {
                let took = now.duration_since(self.start_began);
                self.cold_start = Some(took);
                self.start_problem = None;
                if let Some(counters) = self.starter() {
                    counters.cold_starts.add(took);
                }
                log.line(level, format_args!("{name}: {state} after {:.3} s.", took.as_secs_f64()));
            }
            // A start that failed, or that takes too long and is given up. What follows a start that was given up was
            // reported then.
            State::Failed | State::Stopping
                if before == State::Starting || state == State::Failed && before != State::Stopping =>
            {
                if let Some(counters) = self.starter() {
                    counters.failed_starts.inc();
                }
                let pause = self.machine.pause();
                let waited = now.duration_since(self.start_began).as_secs_f64();
                let late = || Arc::from(format!("it was not ready within {waited:.1} s (start_timeout)"));
                let reason = match (self.reason.take(), pause) {
                    (Some(why), Some(pause)) => format!("{}; {why}", ended_at_once(pause)).into(),
                    (None, Some(pause)) => ended_at_once(pause).into(),
                    (Some(why), None) => why,
                    (None, None) => late(),
                };
                let reason = match self.start_problem.take() {
                    Some(problem) => format!("{reason}; {problem}").into(),
                    None => reason,
                };
                let reason = self.reason.insert(reason);
                // The pauses that follow the first one are no news.
                let level = if pause.is_some_and(|pause| !pause.is_first) { Level::Info } else { Level::Err };
                log.line(level, format_args!("{name}: {before} → {state}: {reason}"));
            }
            // The reason of a failed start was reported then.
            State::Stopped if self.reason.is_some() && !matches!(before, State::Stopping | State::Failed) => {
                let reason = self.reason.as_deref().unwrap_or_default();
                log.line(Level::Warning, format_args!("{name}: {before} → {state}: {reason}"));
            }
            _ => log.line(level, format_args!("{name}: {before} → {state}.")),
        }
    }
}

/// Describes a pause after runs that ended at once.
fn ended_at_once(Pause { runs, .. }: Pause) -> String {
    format!(
        "{runs} runs in a row ended as soon as they were ready, without an answer to a client; clients are held until the \
         next start, which waits for a backoff"
    )
}
