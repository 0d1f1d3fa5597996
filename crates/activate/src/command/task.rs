//! The task that runs the user's commands.

mod run;
mod status;

use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, sleep_until};

use self::run::RunResult;
use self::status::STATUS_TIMEOUT;
use super::Commands;
use super::job::CommandLog;
use crate::{ActivationError, ActivatorContext, Event, LogLine, Operation, Request};

/// The interval of the status command while the workload runs.
const RUNNING_INTERVAL: Duration = Duration::from_secs(5);
/// The interval of the status command while the workload is stopped.
const STOPPED_INTERVAL: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Stopped,
    Running {
        /// The status command has confirmed it.
        confirmed: bool,
    },
    Frozen,
}

/// The state of the activator.
pub(super) struct Task {
    commands: Commands,
    context: ActivatorContext,
    requests: Receiver<Request>,
    events: Sender<Event>,
    output: CommandLog,
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
        let (output, next_check) = (CommandLog::new(&context), Instant::now());
        Self {
            owned: context.started_by_dormouse,
            frozen: context.started_by_dormouse && commands.freeze.is_some() && commands.thaw.is_some(),
            commands,
            context,
            requests,
            events,
            output,
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
            self.log(&LogLine::Notice(&format!("{} has no stop command and keeps running", self.commands)));
            return self.send(Event::Stopped).await;
        }
        let deadline = Instant::now() + self.context.stop_timeout;
        match self.run_to_end(self.commands.stop.clone(), "stop").await {
            None => self.wait_until_stopped(deadline).await,
            Some(reason) => self.log(&LogLine::Warning(&format!("{}: {reason}", self.commands))),
        }
        self.send(Event::Stopped).await
    }

    async fn freeze(&mut self) -> bool {
        let (Some(freeze), true) = (self.commands.freeze.clone(), self.commands.thaw.is_some()) else {
            let reason = "it has no freeze and thaw commands; add them or remove idle.freeze".to_owned();
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
            let text = format!("{}: cannot thaw it: {reason}", self.commands);
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
