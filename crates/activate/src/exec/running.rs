//! One run of a program: from the start request until the program and all its descendants have ended.

mod finish;

use std::io;
use std::path::Path;
use std::time::Duration;

use dormouse_sys::event_loop::sleep_until;
use rustix::process::Pid;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::Instant;

use self::finish::RunEnd;
use super::foreign::ForeignMessages;
use super::handle::GuardHandle;
use super::launch::GuardLaunch;
use super::notify_socket::{Message, Notification, NotifySocket};
use super::protocol::{GuardEvent, GuardRequest};
use super::sandbox::Reported;
use super::{Exec, failure};
use crate::output::{Output, WorkloadLog};
use crate::process::{Termination, spawn_failure};
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
    log: &'a WorkloadLog,
    events: &'a Sender<Event>,
    guard: GuardHandle,
    output: Output,
    notify_socket: Option<NotifySocket>,
    foreign: ForeignMessages,
    /// The missing parts of the confinement that were reported, in this run or in one before.
    reported: &'a mut Reported,
    phase: Phase,
    /// The program has reported that it is ready.
    ready: bool,
    /// A start was requested while the run was ending.
    restart: bool,
    /// The channel of requests is closed. The time until which the activator waits for the end of the run.
    end_by: Option<Instant>,
}

impl<'a> Running<'a> {
    /// Starts a guard, which starts the program.
    pub(super) async fn start(
        exec: &'a Exec,
        context: &'a ActivatorContext,
        log: &'a WorkloadLog,
        events: &'a Sender<Event>,
        reported: &'a mut Reported,
    ) -> Result<Self, ActivationError> {
        let failed = |reason| failure(exec, Operation::Start, reason);
        if let Some(directory) = exec.directory.as_ref().filter(|directory| !directory.is_dir()) {
            let directory = directory.display();
            return Err(failed(format!(
                "its directory {directory} does not exist; create it or set another"
            )));
        }
        let open = || NotifySocket::open(exec.account().map(|account| account.identity.uid));
        let notify_socket = exec.notify.then(open).transpose().map_err(|error| {
            failed(format!(
                "cannot create its notification socket: {error}; set RuntimeDirectory=, or make /tmp writable"
            ))
        })?;
        let launch = GuardLaunch::new(
            &context.name,
            exec,
            context.stop_timeout,
            notify_socket.as_ref().map(NotifySocket::directory),
        );
        let cannot_start = |error| failed(guard_failure(&error, exec.directory.as_deref()));
        let (pipe, output) = Output::start(log.clone()).map_err(cannot_start)?;
        let guard = GuardHandle::start(launch, pipe).await.map_err(cannot_start)?;
        if let Some(pid) = guard.pid() {
            context.processes.set(RunRoot::Guard(pid));
        }
        let mut running = Self {
            exec,
            context,
            log,
            events,
            guard,
            output,
            notify_socket,
            foreign: ForeignMessages::default(),
            reported,
            phase: Phase::Starting,
            ready: false,
            restart: false,
            end_by: None,
        };
        if let Some(text) = exec.keeps_user() {
            running.report_unconfined(text);
        }
        Ok(running)
    }

    /// Carries out requests until the run has ended.
    pub(super) async fn drive(mut self, requests: &mut Receiver<Request>) -> AfterRun {
        let guard = self.guard.pid();
        let end = loop {
            tokio::select! {
                biased;
                request = requests.recv(), if self.end_by.is_none() => self.handle_request(request).await,
                event = self.guard.receive() => match event {
                    Some(GuardEvent::Failed(errno)) => break RunEnd::NotStarted(errno),
                    Some(GuardEvent::Refused(reason)) => break RunEnd::Refused(reason),
                    Some(GuardEvent::Ended(termination)) => break RunEnd::Terminated(termination),
                    Some(event) => self.handle_guard_event(event).await,
                    None => break RunEnd::GuardLost,
                },
                message = receive(self.notify_socket.as_mut(), guard) => match message {
                    Some(message) => self.handle_message(message).await,
                    None => self.notify_socket = None,
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
            (GuardEvent::Warning(text), _) => self.warn(&format!("{}: {text}", self.exec)),
            (GuardEvent::Unconfined(text), _) => self.report_unconfined(&text),
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

    async fn handle_message(&mut self, message: Message) {
        let Notification { ready, status } = match message {
            Message::Notification(notification) => notification,
            Message::Foreign { uid, pid } => {
                if let Some(text) = self.foreign.count(uid, pid) {
                    self.warn(&format!("{}: {text}", self.exec));
                }
                return;
            }
        };
        if let Some(status) = status {
            self.log.status(&status);
        }
        if ready && !self.ready {
            self.ready = true;
            self.report_ready().await;
        }
    }

    /// Reports a part of the confinement that is missing.
    fn report_unconfined(&mut self, text: &str) {
        if self.reported.is_new(text) {
            self.warn(&format!("{}: sandbox: {text}", self.exec));
        }
    }

    fn run_failure(&self, termination: Termination) -> ActivationError {
        failure(self.exec, Operation::Run, format!("{termination}{}", self.output.last_line()))
    }

    fn warn(&self, text: &str) {
        (self.context.log)(LogLine::Warning(text));
    }

    async fn send(&self, event: Event) {
        // An owner that has closed this channel closes the channel of requests, too.
        let _ = self.events.send(event).await;
    }
}

/// Describes why the guard process could not be started.
/// `directory`: the working directory of the program, which its guard enters first.
fn guard_failure(error: &io::Error, directory: Option<&Path>) -> String {
    if let (io::ErrorKind::PermissionDenied, Some(directory)) = (error.kind(), directory) {
        let directory = directory.display();
        return format!(
            "dormouse itself may not enter its directory {directory}; let the user or a group of dormouse enter it (chmod, chgrp)"
        );
    }
    format!("cannot start its guard: {}", spawn_failure("/proc/self/exe".as_ref(), None, error))
}

async fn receive(socket: Option<&mut NotifySocket>, guard: Option<Pid>) -> Option<Message> {
    match socket {
        Some(socket) => socket.receive(guard).await,
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
            reason: guard_failure(&Errno::MFILE.into(), None),
        };
        assert_eq!(
            error.to_string(),
            "Failed to start python3: cannot start its guard: Too many open files (os error 24); \
             the limit of descriptors is reached; raise it (LimitNOFILE=, ulimit -n)"
        );
    }
}
