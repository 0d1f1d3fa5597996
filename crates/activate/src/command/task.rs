//! The task that runs the user's commands.

use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, sleep, sleep_until};

use super::Commands;
use super::job::{Job, Outcome, OutputReaders};
use crate::process::Termination;
use crate::{ActivationError, ActivatorContext, Event, LogLine, Operation, Request};

/// The interval of the status command while the workload runs.
const RUNNING_INTERVAL: Duration = Duration::from_secs(5);
/// The interval of the status command while the workload is stopped.
const STOPPED_INTERVAL: Duration = Duration::from_secs(30);
/// The time that the status command may take.
const STATUS_TIMEOUT: Duration = Duration::from_secs(10);
/// The first pause between two status commands after a stop.
const MIN_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause.
const MAX_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Stopped,
    Running {
        /// The status command has confirmed it.
        confirmed: bool,
    },
    Frozen,
}

/// The result of a command that a request may interrupt.
enum RunResult {
    Finished(Outcome),
    /// A stop was requested, and the command was terminated.
    StopRequested,
    /// The channel of requests is closed.
    Closed,
}

/// The state of the activator.
pub(super) struct Task {
    commands: Commands,
    context: ActivatorContext,
    requests: Receiver<Request>,
    events: Sender<Event>,
    readers: OutputReaders,
    state: State,
    /// Dormouse has started the workload.
    owned: bool,
    /// The workload is frozen, or may be: from before a restart of dormouse, or after a failed freeze or thaw.
    frozen: bool,
    /// The time of the next status command.
    next_check: Instant,
    /// A failure of the status command was logged already.
    status_warned: bool,
}

impl Task {
    pub(super) fn new(
        commands: Commands,
        context: ActivatorContext,
        requests: Receiver<Request>,
        events: Sender<Event>,
    ) -> Self {
        let (readers, next_check) = (OutputReaders::new(), Instant::now());
        Self {
            owned: context.started_by_us,
            frozen: context.started_by_us && commands.freeze.is_some() && commands.thaw.is_some(),
            commands,
            context,
            requests,
            events,
            readers,
            state: State::Stopped,
            next_check,
            status_warned: false,
        }
    }

    /// Carries out requests until the channel of requests is closed.
    pub(super) async fn run(mut self) {
        loop {
            let polled = self.commands.status.is_some() && self.state != State::Frozen;
            let request = tokio::select! {
                request = self.requests.recv() => request,
                () = sleep_until(self.next_check), if polled => match self.check_status().await {
                    Some(request) => request,
                    None => continue,
                },
            };
            let Some(request) = request else { return };
            let delivered = match request {
                Request::Start => self.start().await,
                Request::Stop => self.stop().await,
                Request::Freeze => self.freeze().await,
                Request::Thaw => self.thaw().await,
            };
            if !delivered {
                return;
            }
            self.next_check = Instant::now() + self.interval();
        }
    }

    fn interval(&self) -> Duration {
        if self.state == State::Stopped { STOPPED_INTERVAL } else { RUNNING_INTERVAL }
    }

    /// Runs the status command, and reports a change. Returns a request, or the end of requests, that interrupts it.
    async fn check_status(&mut self) -> Option<Option<Request>> {
        let status = self.commands.status.clone()?;
        if self.state == State::Stopped {
            self.thaw_if_frozen().await;
        }
        let runs = match Job::start(&status, &self.context, false) {
            Ok(mut job) => tokio::select! {
                outcome = job.wait_within(STATUS_TIMEOUT, &self.context, &mut self.readers) => self.interpret_status(outcome),
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
    fn interpret_status(&mut self, outcome: Outcome) -> Option<bool> {
        match outcome {
            Outcome::Success => {
                self.status_warned = false;
                Some(true)
            }
            Outcome::Failed(Termination::Exited(_), _) => {
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

    async fn start(&mut self) -> bool {
        // The status command may report a frozen workload as stopped, and a frozen workload answers no client.
        self.thaw_if_frozen().await;
        if let Some(status) = self.commands.status.clone() {
            let outcome = match self.run_interruptible(&status, Some(STATUS_TIMEOUT), false).await {
                RunResult::Finished(outcome) => outcome,
                RunResult::StopRequested => return self.stop().await,
                RunResult::Closed => return false,
            };
            if self.interpret_status(outcome) == Some(true) {
                self.state = State::Running { confirmed: true };
                return self.send(Event::Launched { foreign: !self.owned }).await;
            }
        }
        let start = self.commands.start.clone();
        match self.run_interruptible(&start, None, true).await {
            RunResult::Finished(outcome) => match outcome.failure("start") {
                None => {
                    self.state = State::Running { confirmed: false };
                    self.owned = true;
                    self.frozen = false;
                    self.send(Event::Launched { foreign: false }).await
                }
                Some(reason) => {
                    self.state = State::Stopped;
                    self.send(Event::StartFailed(self.error(Operation::Start, reason))).await
                }
            },
            RunResult::StopRequested => self.stop().await,
            RunResult::Closed => false,
        }
    }

    async fn stop(&mut self) -> bool {
        // Few workloads can be stopped while they are frozen.
        self.thaw_if_frozen().await;
        self.set_stopped();
        if self.commands.stop.is_none() {
            self.log(&LogLine::Notice(&format!("{} has no stop command and is left running", self.commands)));
            return self.send(Event::Stopped).await;
        }
        let deadline = Instant::now() + self.context.stop_timeout;
        match self.run_to_end(self.commands.stop.clone(), "stop").await {
            None => self.wait_until_stopped(deadline).await,
            Some(reason) => self.log(&LogLine::Warning(&format!("{}: {reason}", self.commands))),
        }
        self.send(Event::Stopped).await
    }

    /// Waits until the status command reports a stopped workload, because a stop command may return earlier.
    async fn wait_until_stopped(&mut self, deadline: Instant) {
        let Some(status) = self.commands.status.clone() else { return };
        let mut pause = MIN_PAUSE;
        loop {
            let outcome = match Job::start(&status, &self.context, false) {
                Ok(mut job) => job.wait_within(STATUS_TIMEOUT, &self.context, &mut self.readers).await,
                Err(outcome) => outcome,
            };
            if self.interpret_status(outcome) != Some(true) {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let text =
                    format!("{} still runs after its stop command, by its status command", self.commands);
                return self.log(&LogLine::Warning(&text));
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    async fn freeze(&mut self) -> bool {
        let (Some(freeze), true) = (self.commands.freeze.clone(), self.commands.thaw.is_some()) else {
            let reason = "it has no freeze and thaw commands; add them, or leave idle.freeze out".to_owned();
            return self.send(Event::FreezeFailed(self.error(Operation::Freeze, reason))).await;
        };
        self.frozen = true;
        match self.run_interruptible(&freeze, Some(self.context.stop_timeout), true).await {
            RunResult::Finished(outcome) => match outcome.failure("freeze") {
                None => {
                    self.state = State::Frozen;
                    self.send(Event::Frozen).await
                }
                Some(reason) => {
                    // It may be frozen in part.
                    self.thaw_if_frozen().await;
                    self.send(Event::FreezeFailed(self.error(Operation::Freeze, reason))).await
                }
            },
            RunResult::StopRequested => self.stop().await,
            RunResult::Closed => false,
        }
    }

    async fn thaw(&mut self) -> bool {
        let Some(thaw) = self.commands.thaw.clone().filter(|_| self.frozen) else {
            return self.send(Event::Thawed).await;
        };
        match self.run_interruptible(&thaw, Some(self.context.stop_timeout), true).await {
            RunResult::Finished(outcome) => match outcome.failure("thaw") {
                None => {
                    self.frozen = false;
                    self.state = State::Running { confirmed: false };
                    self.send(Event::Thawed).await
                }
                Some(reason) => {
                    // No client can use it like this. The next start tries to thaw it again.
                    self.state = State::Stopped;
                    self.send(Event::Exited(Err(self.error(Operation::Thaw, reason)))).await
                }
            },
            RunResult::StopRequested => self.stop().await,
            RunResult::Closed => false,
        }
    }

    /// Thaws a workload that may be frozen. If the command fails, the next request tries again.
    async fn thaw_if_frozen(&mut self) {
        if !self.frozen {
            return;
        }
        let Some(reason) = self.run_to_end(self.commands.thaw.clone(), "thaw").await else {
            self.frozen = false;
            return;
        };
        if self.state == State::Stopped {
            let text = format!("{}: in case that it is frozen it was to be thawed: {reason}", self.commands);
            self.log(&LogLine::Notice(&text));
        } else {
            self.log(&LogLine::Warning(&format!("{}: {reason}", self.commands)));
        }
    }

    /// Notes that the workload has ended, frozen or not.
    fn set_stopped(&mut self) {
        self.state = State::Stopped;
        self.owned = false;
        self.frozen = false;
    }

    /// Runs a command until it ends or a stop is requested.
    async fn run_interruptible(
        &mut self,
        argv: &[std::ffi::OsString],
        limit: Option<Duration>,
        log_output: bool,
    ) -> RunResult {
        let mut job = match Job::start(argv, &self.context, log_output) {
            Ok(job) => job,
            Err(outcome) => return RunResult::Finished(outcome),
        };
        let deadline = limit.map(|limit| (Instant::now() + limit, limit));
        loop {
            let request = tokio::select! {
                outcome = job.wait(&self.context, &mut self.readers) => return RunResult::Finished(outcome),
                request = self.requests.recv() => request,
                () = until(deadline) => {
                    job.wait_within(Duration::ZERO, &self.context, &mut self.readers).await;
                    return RunResult::Finished(Outcome::TimedOut(limit.unwrap_or_default()));
                }
            };
            match request {
                Some(Request::Stop) => {
                    job.terminate(&self.context, &mut self.readers).await;
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
    async fn run_to_end(&mut self, argv: Option<Vec<std::ffi::OsString>>, purpose: &str) -> Option<String> {
        let argv = argv?;
        let outcome = match Job::start(&argv, &self.context, true) {
            Ok(mut job) => job.wait_within(self.context.stop_timeout, &self.context, &mut self.readers).await,
            Err(outcome) => outcome,
        };
        outcome.failure(purpose)
    }

    /// Sends an event. Returns false if the owner of the activator is gone.
    async fn send(&mut self, event: Event) -> bool {
        self.events.send(event).await.is_ok()
    }

    fn log(&self, line: &LogLine<'_>) {
        (self.context.log)(*line);
    }

    fn error(&self, operation: Operation, reason: String) -> ActivationError {
        ActivationError { workload: self.commands.to_string(), operation, reason }
    }
}

async fn until(deadline: Option<(Instant, Duration)>) {
    match deadline {
        Some((deadline, _)) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
