//! Runs the status command, and reports a change of the workload.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::job::{CommandEnd, Job};
use super::{State, Task};
use crate::process::Termination;
use crate::{Event, LogLine, Request};

/// The time that the status command may take.
pub(super) const STATUS_TIMEOUT: Duration = Duration::from_secs(10);
/// The first pause between two status commands after a stop.
const MIN_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause.
const MAX_PAUSE: Duration = Duration::from_secs(1);

impl Task {
    /// Runs the status command, and reports a change. Returns a request, or the end of requests, that interrupts it.
    pub(super) async fn check_status(&mut self) -> Option<Option<Request>> {
        let status = self.commands.status.clone()?;
        if self.state == State::Stopped {
            self.thaw_if_frozen().await;
        }
        let runs = match Job::start(&status, &self.context, None).await {
            Ok(mut job) => tokio::select! {
                outcome = job.wait_within(STATUS_TIMEOUT, &self.context, &mut self.output) => self.interpret_status(outcome),
                request = self.requests.recv() => return Some(request),
            },
            Err(outcome) => self.interpret_status(outcome),
        };
        match (runs, self.state) {
            (Some(true), State::Stopped) => {
                self.state = State::Running { confirmed: true };
                self.send(Event::Running { foreign: !self.owned }).await;
            }
            (Some(true), State::Running { .. }) => self.state = State::Running { confirmed: true },
            (Some(false), State::Stopped) => self.set_stopped(),
            // A workload that was started and is not confirmed yet may still be starting.
            (Some(false), State::Running { confirmed: true }) => {
                self.state = State::Stopped;
                self.owned = false;
                self.send(Event::Exited(Ok(()))).await;
            }
            _ => {}
        }
        self.next_check = Instant::now() + self.interval();
        None
    }

    /// Returns whether the status command reports a running workload; `None` if the command does not work.
    pub(super) fn interpret_status(&mut self, outcome: CommandEnd) -> Option<bool> {
        match outcome {
            CommandEnd::Success => {
                self.status_warned = false;
                Some(true)
            }
            CommandEnd::Failed(Termination::Exited(_), _) => {
                self.status_warned = false;
                Some(false)
            }
            outcome => {
                if let (false, Some(reason)) = (self.status_warned, outcome.failure("status")) {
                    self.status_warned = true;
                    self.log(&LogLine::Warning(&format!("{}: {reason}", self.commands)));
                }
                None
            }
        }
    }

    /// Waits until the status command reports a stopped workload, because a stop command may return earlier.
    pub(super) async fn wait_until_stopped(&mut self, deadline: Instant) {
        let Some(status) = self.commands.status.clone() else { return };
        let mut pause = MIN_PAUSE;
        loop {
            let outcome = match Job::start(&status, &self.context, None).await {
                Ok(mut job) => job.wait_within(STATUS_TIMEOUT, &self.context, &mut self.output).await,
                Err(outcome) => outcome,
            };
            if self.interpret_status(outcome) != Some(true) {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let text = format!(
                    "{}: the status command reports that it still runs after its stop command",
                    self.commands
                );
                return self.log(&LogLine::Warning(&text));
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}
