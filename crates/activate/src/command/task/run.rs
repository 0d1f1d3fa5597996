//! Runs one command.

use std::ffi::OsString;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::super::job::{CommandEnd, Job};
use super::Task;
use crate::Request;

/// The result of a command that a request may interrupt.
pub(super) enum RunResult {
    Finished(CommandEnd),
    /// A stop was requested, and the command was terminated.
    StopRequested,
    /// The channel of requests is closed.
    Closed,
}

impl Task {
    /// Runs a command until it ends or a stop is requested.
    pub(super) async fn run_interruptible(
        &mut self,
        argv: &[OsString],
        limit: Option<Duration>,
        log_output: bool,
    ) -> RunResult {
        let mut job = match Job::start(argv, &self.context, log_output.then_some(&self.output)).await {
            Ok(job) => job,
            Err(outcome) => return RunResult::Finished(outcome),
        };
        let deadline = limit.map(|limit| (Instant::now() + limit, limit));
        loop {
            let request = tokio::select! {
                outcome = job.wait(&self.context, &mut self.output) => return RunResult::Finished(outcome),
                request = self.requests.recv() => request,
                () = until(deadline) => {
                    job.wait_within(Duration::ZERO, &self.context, &mut self.output).await;
                    return RunResult::Finished(CommandEnd::TimedOut(limit.unwrap_or_default()));
                }
            };
            match request {
                Some(Request::Stop) => {
                    job.terminate(&self.context, &mut self.output).await;
                    return RunResult::StopRequested;
                }
                // Requests that the service does not send now.
                Some(Request::Start | Request::Freeze | Request::Thaw) => {}
                None => {
                    job.detach();
                    return RunResult::Closed;
                }
            }
        }
    }

    /// Runs a command that no request interrupts. Returns why it failed; `None` after a success.
    pub(super) async fn run_to_end(&mut self, argv: Option<Vec<OsString>>, purpose: &str) -> Option<String> {
        let argv = argv?;
        let outcome = match Job::start(&argv, &self.context, Some(&self.output)).await {
            Ok(mut job) => job.wait_within(self.context.stop_timeout, &self.context, &mut self.output).await,
            Err(outcome) => outcome,
        };
        outcome.failure(purpose)
    }
}

async fn until(deadline: Option<(Instant, Duration)>) {
    match deadline {
        Some((deadline, _)) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
