//! One run of a program: from the start request until the program and all its descendants have ended.

mod finish;

use std::io;
use std::time::Duration;

use dormouse_sys::event_loop::sleep_until;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::Instant;

use self::finish::RunEnd;
use super::handle::GuardHandle;
use super::notify_socket::{Notification, NotifySocket};
use super::protocol::{GuardEvent, GuardRequest};
use super::{Exec, failure};
use crate::process::{LastLine, OutputLines, Termination, environment, next_line, spawn_failure};
use crate::run_processes::RunRoot;
use crate::{ActivationError, ActivatorContext, Event, LogLine, Operation, Request};

/// When dormouse itself ends, it waits for the stop timeout plus this margin, then exits. The guard continues the stop.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(5);

/// What the activator does after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterRun {
    /// Wait for requests.
    Wait,
    /// Start the program again: the request came before the run had ended.
    Restart,
    /// End: the channel of requests is closed.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The guard has not reported yet whether the program runs.
    Starting,
    Running,
    Freezing,
    Frozen,
    Thawing,
    /// The stop is in progress. [`Event::Stopped`] follows.
    Stopping,
    /// The program failed, which was reported. The guard stops its remaining descendants.
    CleaningUp,
}

/// A program that runs or starts.
pub(super) struct Running<'a> {
    exec: &'a Exec,
    context: &'a ActivatorContext,
    events: &'a Sender<Event>,
    guard: GuardHandle,
    output: Option<OutputLines>,
    notify_socket: Option<NotifySocket>,
    phase: Phase,
    /// The program has reported that it is ready.
    ready: bool,
    /// A start was requested while the run was ending.
    restart: bool,
    /// The channel of requests is closed. The time until which the activator waits for the end of the run.
    end_by: Option<Instant>,
    last_line: LastLine,
}

impl<'a> Running<'a> {
    /// Starts a guard, which starts the program.
    pub(super) fn start(
        exec: &'a Exec,
        context: &'a ActivatorContext,
        events: &'a Sender<Event>,
    ) -> Result<Self, ActivationError> {
        let failed = |reason| failure(exec, Operation::Start, reason);
        if let Some(directory) = exec.directory.as_ref().filter(|directory| !directory.is_dir()) {
            let directory = directory.display();
            return Err(failed(format!(
                "its directory {directory} does not exist; create it or set another"
            )));
        }
        let notify_socket = exec.notify.then(NotifySocket::open).transpose().map_err(|error| {
            failed(format!(
                "cannot create its notification socket: {error}; make /tmp or RuntimeDirectory= writable"
            ))
        })?;
        let mut environment = environment(&context.name);
        environment.extend(notify_socket.iter().map(|socket| ("NOTIFY_SOCKET".into(), socket.path().into())));
        environment.extend(exec.environment.iter().cloned());
        let (guard, output) = GuardHandle::start(exec, environment, context.stop_timeout)
            .map_err(|error| failed(guard_failure(&error)))?;
        if let Some(pid) = guard.pid() {
            context.processes.set(RunRoot::Guard(pid));
        }
        Ok(Self {
            exec,
            context,
            events,
            guard,
            output: Some(output),
            notify_socket,
            phase: Phase::Starting,
            ready: false,
            restart: false,
            end_by: None,
            last_line: LastLine::default(),
        })
    }

    /// Carries out requests until the run has ended.
    pub(super) async fn drive(mut self, requests: &mut Receiver<Request>) -> AfterRun {
        let end = loop {
            tokio::select! {
                biased;
                request = requests.recv(), if self.end_by.is_none() => self.handle_request(request).await,
                event = self.guard.receive() => match event {
                    Some(GuardEvent::Failed(errno)) => break RunEnd::NotStarted(errno),
                    Some(GuardEvent::Ended(termination)) => break RunEnd::Terminated(termination),
                    Some(event) => self.handle_guard_event(event).await,
                    None => break RunEnd::GuardLost,
                },
                notification = receive(self.notify_socket.as_ref()) => match notification {
                    Some(notification) => {
                        if let Some(status) = notification.status {
                            self.log(LogLine::Output(&format!("STATUS={status}")));
                        }
                        if notification.ready && !self.ready {
                            self.ready = true;
                            self.report_ready().await;
                        }
                    }
                    None => self.notify_socket = None,
                },
                line = next_line(self.output.as_mut()) => match line {
                    Some(line) => self.output_line(&line),
                    None => self.output = None,
                },
                () = sleep_until(self.end_by) => break RunEnd::TimedOut,
            }
        };
        self.finish(end).await
    }

    async fn handle_request(&mut self, request: Option<Request>) {
        let cleaning_up = self.phase == Phase::CleaningUp;
        match (request, self.phase) {
            (None, _) => {
                let time = self.context.stop_timeout.saturating_add(SHUTDOWN_MARGIN);
                let now = Instant::now();
                self.end_by = Some(now.checked_add(time).unwrap_or(now));
                self.restart = false;
                self.guard.send(GuardRequest::Stop).await;
                if !cleaning_up {
                    self.phase = Phase::Stopping;
                }
            }
            (Some(Request::Start), Phase::Stopping | Phase::CleaningUp) => self.restart = true,
            // In progress; the event follows.
            (Some(Request::Start), Phase::Starting)
            | (Some(Request::Freeze), Phase::Freezing)
            | (Some(Request::Thaw), Phase::Thawing) => {}
            (Some(Request::Start), _) => self.send(Event::Launched { foreign: false }).await,
            (Some(Request::Stop), _) => {
                self.restart = false;
                self.phase = Phase::Stopping;
                self.guard.send(GuardRequest::Stop).await;
            }
            (Some(Request::Freeze), Phase::Running | Phase::Thawing) => {
                self.phase = Phase::Freezing;
                self.guard.send(GuardRequest::Freeze).await;
            }
            (Some(Request::Freeze), Phase::Frozen) => self.send(Event::Frozen).await,
            (Some(Request::Freeze), Phase::Starting | Phase::Stopping | Phase::CleaningUp) => {
                let reason = "it is not running".to_owned();
                self.send(Event::FreezeFailed(failure(self.exec, Operation::Freeze, reason))).await;
            }
            (Some(Request::Thaw), Phase::Frozen | Phase::Freezing) => {
                self.phase = Phase::Thawing;
                self.guard.send(GuardRequest::Thaw).await;
            }
            (Some(Request::Thaw), _) => self.send(Event::Thawed).await,
        }
    }

    async fn handle_guard_event(&mut self, event: GuardEvent) {
        match (event, self.phase) {
            (GuardEvent::Started, Phase::Starting) => {
                self.phase = Phase::Running;
                self.send(Event::Launched { foreign: false }).await;
                if self.ready {
                    self.send(Event::Ready).await;
                }
            }
            (GuardEvent::Frozen, Phase::Freezing) => {
                self.phase = Phase::Frozen;
                self.send(Event::Frozen).await;
            }
            (GuardEvent::FreezeFailed(reason), Phase::Freezing) => {
                self.phase = Phase::Running;
                self.send(Event::FreezeFailed(failure(self.exec, Operation::Freeze, reason))).await;
            }
            (GuardEvent::Thawed, Phase::Thawing) => {
                self.phase = Phase::Running;
                self.send(Event::Thawed).await;
            }
            (GuardEvent::MainEnded(termination), phase)
                if !termination.is_success() && phase != Phase::Stopping && phase != Phase::CleaningUp =>
            {
                self.fail(termination).await;
            }
            (GuardEvent::Warning(text), _) => self.log(LogLine::Warning(&format!("{}: {text}", self.exec))),
            // Events of cancelled requests.
            _ => {}
        }
    }

    /// Reports that the program itself failed, and stops its descendants, which could disturb the next start.
    async fn fail(&mut self, termination: Termination) {
        self.phase = Phase::CleaningUp;
        self.guard.send(GuardRequest::Stop).await;
        let error = self.run_failure(termination);
        self.send(Event::Exited(Err(error))).await;
    }

    async fn report_ready(&mut self) {
        match self.phase {
            Phase::Running | Phase::Freezing | Phase::Frozen | Phase::Thawing => {
                self.send(Event::Ready).await;
            }
            // Reported as soon as the program is known to run.
            Phase::Starting | Phase::Stopping | Phase::CleaningUp => {}
        }
    }

    fn output_line(&mut self, line: &str) {
        self.last_line.update(line);
        self.log(LogLine::Output(line));
    }

    fn run_failure(&self, termination: Termination) -> ActivationError {
        failure(self.exec, Operation::Run, format!("{termination}{}", self.last_line))
    }

    fn log(&self, line: LogLine<'_>) {
        (self.context.log)(line);
    }

    async fn send(&self, event: Event) {
        // An owner that has closed this channel closes the channel of requests, too.
        let _ = self.events.send(event).await;
    }
}

/// Describes why the guard process could not be started.
fn guard_failure(error: &io::Error) -> String {
    format!("cannot start its guard: {}", spawn_failure("/proc/self/exe".as_ref(), error))
}

async fn receive(socket: Option<&NotifySocket>) -> Option<Notification> {
    match socket {
        Some(socket) => socket.receive().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_guard_that_cannot_start_is_described_once() {
        let error = ActivationError {
            workload: "python3".to_owned(),
            operation: Operation::Start,
            reason: guard_failure(&Errno::MFILE.into()),
        };
        assert_eq!(
            error.to_string(),
            "Failed to start python3: cannot start its guard: Too many open files (os error 24); \
             the limit of descriptors is reached; raise it (LimitNOFILE=, ulimit -n)"
        );
    }
}
