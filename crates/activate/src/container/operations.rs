//! The operations on a container, as requests to its engine.

use std::time::Duration;

use hyper::{Method, StatusCode};
use tokio::sync::watch as signal;
use tokio::time::{Instant, sleep};

use super::Container;
use super::engine::{Engine, REQUEST_TIMEOUT, encode};
use super::engine_error::EngineError;
use super::inspect::{Inspection, RunState};
use crate::run_processes::RunRoot;
use crate::{ActivationError, ActivatorContext, LogLine, Operation};

/// The time that a start may take. The engine may have to mount an image and to create a network first.
const API_START_TIMEOUT: Duration = Duration::from_secs(120);
/// The time to wait for an engine that restarts.
const RESTART_TIMEOUT: Duration = Duration::from_secs(20);
/// The time to wait for an engine whose socket does not exist.
const ABSENT_TIMEOUT: Duration = Duration::from_secs(3);

/// The time after the end of a run in which its remains (a network, a port) may fail the next start.
const CLEANUP_TIME: Duration = Duration::from_secs(10);

/// The first pause between two attempts or inspections.
pub(super) const MIN_PAUSE: Duration = Duration::from_millis(20);
/// The longest such pause.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(1);
/// The time that the engine may take to notice the end of a process.
pub(super) const NOTICE_TIME: Duration = Duration::from_secs(5);
/// Becomes true when the request in progress is cancelled.
pub(super) type Cancelled = signal::Receiver<bool>;

/// A container, and the operations on it.
pub(super) struct Operations {
    pub(super) container: Container,
    pub(super) context: ActivatorContext,
    pub(super) engine: Engine,
    /// A container that runs already was started by dormouse, before a restart of dormouse.
    pub(super) owned: bool,
    /// The time of the last noticed end of a run.
    pub(super) last_end: Option<Instant>,
}

impl Operations {
    pub(super) fn new(container: Container, context: ActivatorContext) -> Self {
        Self {
            engine: Engine::new(container.engine.clone()),
            container,
            owned: context.started_by_dormouse,
            context,
            last_end: None,
        }
    }

    pub(super) fn error(&self, operation: Operation, reason: &impl ToString) -> ActivationError {
        ActivationError { workload: self.container.to_string(), operation, reason: reason.to_string() }
    }

    pub(super) fn notice(&self, what: &str) {
        (self.context.log)(LogLine::Notice(&format!("{}: {what}", self.container)));
    }

    /// Starts the container. Returns whether it was running already and dormouse had not started it.
    pub(super) async fn start(&mut self, mut cancelled: Cancelled) -> Result<bool, ActivationError> {
        let mut retry = Retry::after(self.last_end);
        let mut requested = false;
        loop {
            match self.try_start(&mut requested).await {
                Ok(foreign) => return Ok(foreign),
                Err(StartError::Engine(error)) if retry.allows(&error, requested) => {
                    self.clean_up(&error, &mut retry).await;
                    if retry.wait(&mut cancelled).await {
                        return Err(self.error(Operation::Start, &"the start was cancelled"));
                    }
                }
                Err(StartError::Engine(error)) if error.is_not_found() => {
                    let remedy = format!(
                        "{error}; create it with \"create --name {}\" and without --rm, which removes it at each stop",
                        self.container.name
                    );
                    return Err(self.error(Operation::Start, &remedy));
                }
                Err(StartError::Engine(error)) => return Err(self.error(Operation::Start, &error)),
                Err(StartError::NoHealthCheck) => {
                    let reason = "ready = \"healthy\" needs a health check; create the container with --health-cmd or use another `ready`";
                    return Err(self.error(Operation::Start, &reason));
                }
            }
        }
    }

    async fn try_start(&mut self, requested: &mut bool) -> Result<bool, StartError> {
        let inspection = Inspection::of(&mut self.engine, &self.container.name).await?;
        if self.container.healthy && !inspection.has_health_check() {
            return Err(StartError::NoHealthCheck);
        }
        self.record_processes(&inspection);
        match inspection.run_state() {
            RunState::Running => Ok(!*requested && !std::mem::take(&mut self.owned)),
            RunState::Paused => {
                // The start is a request of dormouse, whether dormouse or another program has paused the container.
                self.post("unpause", REQUEST_TIMEOUT).await?;
                Ok(false)
            }
            RunState::Stopped => {
                let again = std::mem::replace(requested, true);
                let status = self.post("start", API_START_TIMEOUT).await?;
                Ok(status == StatusCode::NOT_MODIFIED && !again)
            }
        }
    }

    /// Records where the processes of the container begin.
    pub(super) fn record_processes(&self, inspection: &Inspection) {
        let (id, pid) = (inspection.id.clone(), inspection.process());
        self.context.processes.set(RunRoot::Container { id, pid });
    }

    /// Unpauses the container, if possible.
    pub(super) async fn unpause(&mut self) {
        // After a failure, the next request reports the reason.
        let _ = self.post("unpause", REQUEST_TIMEOUT).await;
    }

    /// Removes what prevents the next attempt, after a start that failed within the engine.
    async fn clean_up(&mut self, error: &EngineError, retry: &mut Retry) {
        if !error.is_internal() {
            return;
        }
        if !std::mem::replace(&mut retry.explained, true) {
            self.notice(&format!(
                "the start failed: {error}; retrying, because its last run is not cleaned up yet"
            ));
        }
        // The engine has created the process and lost the start. Only a stop resolves this state.
        let inspection = Inspection::of(&mut self.engine, &self.container.name).await;
        if inspection.is_ok_and(|inspection| inspection.is_half_started()) {
            let _ = self.post("stop?t=0", REQUEST_TIMEOUT).await;
        }
    }

    pub(super) async fn stop(&mut self) {
        let mut retry = Retry::with_limit(RESTART_TIMEOUT.min(self.context.stop_timeout));
        let result = loop {
            match self.try_stop().await {
                Err(error) if error.is_not_found() => break Ok(()),
                Err(error) if retry.allows(&error, true) => retry.pause().await,
                result => break result,
            }
        };
        if let Err(error) = result {
            let line = self.error(Operation::Stop, &error).to_string();
            (self.context.log)(LogLine::Warning(&line));
        }
    }

    async fn try_stop(&mut self) -> Result<(), EngineError> {
        /// The time of the engine itself, in addition to the stop timeout of the program.
        const MARGIN: Duration = Duration::from_secs(10);
        if Inspection::of(&mut self.engine, &self.container.name).await?.run_state() == RunState::Paused {
            // A paused program cannot handle the signal.
            let _ = self.post("unpause", REQUEST_TIMEOUT).await;
        }
        let grace = self.context.stop_timeout;
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        match self.post(&format!("stop?t={seconds}"), grace.saturating_add(MARGIN)).await {
            Err(error @ (EngineError::Rejected(..) | EngineError::Timeout(_))) if !error.is_not_found() => {
                self.kill().await.map_err(|_| error)
            }
            result => result.map(drop),
        }
    }

    async fn kill(&mut self) -> Result<(), EngineError> {
        let killed = self.post("kill?signal=KILL", REQUEST_TIMEOUT).await;
        let mut retry = Retry::new();
        loop {
            match Inspection::of(&mut self.engine, &self.container.name).await {
                Ok(inspection) if inspection.run_state() == RunState::Stopped => return Ok(()),
                Err(error) if error.is_not_found() => return Ok(()),
                _ if retry.is_exhausted(NOTICE_TIME) => return killed.map(drop),
                _ => retry.pause().await,
            }
        }
    }

    pub(super) async fn freeze(&mut self) -> Result<(), ActivationError> {
        let Err(error) = self.post("pause", REQUEST_TIMEOUT).await else { return Ok(()) };
        match Inspection::of(&mut self.engine, &self.container.name).await {
            Ok(inspection) if inspection.run_state() == RunState::Paused => Ok(()),
            _ => Err(self.error(Operation::Freeze, &error)),
        }
    }

    pub(super) async fn thaw(&mut self, mut cancelled: Cancelled) -> Result<(), ActivationError> {
        let mut retry = Retry::new();
        loop {
            let Err(error) = self.post("unpause", REQUEST_TIMEOUT).await else { return Ok(()) };
            if matches!(error, EngineError::Rejected(..)) {
                let inspection = Inspection::of(&mut self.engine, &self.container.name).await;
                if inspection.is_ok_and(|inspection| inspection.run_state() == RunState::Running) {
                    return Ok(());
                }
            }
            if !retry.allows(&error, true) || retry.wait(&mut cancelled).await {
                return Err(self.error(Operation::Thaw, &error));
            }
        }
    }

    async fn post(&mut self, what: &str, limit: Duration) -> Result<StatusCode, EngineError> {
        let path = format!("/containers/{}/{what}", encode(&self.container.name));
        Ok(self.engine.request(Method::POST, &path, limit).await?.status)
    }
}

/// Why a start failed.
enum StartError {
    Engine(EngineError),
    NoHealthCheck,
}

impl From<EngineError> for StartError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// Decides whether to repeat a request, for an engine that restarts or has to clean up.
struct Retry {
    since: Instant,
    limit: Duration,
    pause: Duration,
    /// The engine was interrupted during the request.
    interrupted: bool,
    /// The time until which the remains of the last run may cause an error.
    cleanup_until: Option<Instant>,
    /// The reason for the repetition was logged already.
    explained: bool,
}

impl Retry {
    fn new() -> Self {
        Self::with_limit(RESTART_TIMEOUT)
    }

    fn with_limit(limit: Duration) -> Self {
        Self {
            since: Instant::now(),
            limit,
            pause: MIN_PAUSE,
            interrupted: false,
            cleanup_until: None,
            explained: false,
        }
    }

    /// Creates the state for a start, given the end of the last run.
    fn after(last_end: Option<Instant>) -> Self {
        let now = Instant::now();
        let recent = last_end.is_some_and(|end| now < end + CLEANUP_TIME);
        Self { cleanup_until: recent.then(|| now + CLEANUP_TIME), ..Self::new() }
    }

    /// Returns whether to repeat the request after this error. `sent`: the engine may have begun to carry it out.
    fn allows(&mut self, error: &EngineError, sent: bool) -> bool {
        self.interrupted |= sent && error.is_transient();
        let limit = if error.is_absent() { ABSENT_TIMEOUT.min(self.limit) } else { self.limit };
        // An engine that was killed during a start fails the next one because of the remains, and removes them then.
        let has_remains =
            self.interrupted || self.cleanup_until.is_some_and(|end| Instant::now() + self.pause < end);
        let is_transient = error.is_transient() || (has_remains && error.is_internal());
        is_transient && !self.is_exhausted(limit)
    }

    fn is_exhausted(&self, limit: Duration) -> bool {
        self.since.elapsed() + self.pause > limit
    }

    /// Waits before the next attempt. Returns whether the request was cancelled.
    async fn wait(&mut self, cancelled: &mut Cancelled) -> bool {
        tokio::select! {
            () = self.pause() => false,
            _ = cancelled.wait_for(|cancelled| *cancelled) => true,
        }
    }

    async fn pause(&mut self) {
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }
}
