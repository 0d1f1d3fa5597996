//! The task of a container: it receives requests and sends events.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::watch as signal;
use tokio::time::{Instant, sleep_until};

use super::Container;
use super::engine::Engine;
use super::inspect::{HealthStatus, Inspection, RunState, check_health, failing_check_acts};
use super::operations::{Cancelled, MAX_PAUSE, MIN_PAUSE, NOTICE_TIME, Operations};
use super::watch::{Hint, Watch};
use crate::{ActivatorContext, Event, LogLine, Operation, Request};

/// The first pause between two looks at the health check.
const HEALTH_PAUSE: Duration = Duration::from_millis(100);
/// The time after a start in which a failing health check is not logged.
const HEALTH_GRACE: Duration = Duration::from_secs(5);
/// The time to watch a container that ended by itself, because its engine may restart it.
const LINGER: Duration = Duration::from_secs(10);

/// Carries out requests until the channel of requests is closed.
pub(crate) async fn run(
    container: Container,
    context: ActivatorContext,
    mut requests: Receiver<Request>,
    events: Sender<Event>,
) {
    let mut task = Task::new(container, context);
    let mut next = None;
    loop {
        let request = if let Some(request) = next.take() {
            request
        } else {
            tokio::select! {
                biased;
                request = requests.recv() => request,
                event = task.next_event() => {
                    if events.send(event).await.is_err() {
                        return;
                    }
                    continue;
                }
            }
        };
        let Some(request) = request else { return };
        let (cancel, cancelled) = signal::channel(false);
        let event = {
            let mut work = pin!(task.carry_out(request, cancelled));
            loop {
                tokio::select! {
                    event = &mut work => break event,
                    another = requests.recv(), if next.is_none() => {
                        if request != Request::Stop && matches!(another, Some(Request::Stop) | None) {
                            let _ = cancel.send(true);
                        }
                        next = Some(another);
                    }
                }
            }
        };
        if !*cancel.borrow() && events.send(event).await.is_err() {
            return;
        }
    }
}

/// The state that the last event reported to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastReported {
    Stopped,
    Running,
    Frozen,
}

pub(super) struct Task {
    operations: Operations,
    last_reported: LastReported,
    watch: Option<Watch>,
    /// The time until which the task watches a container that ended by itself.
    linger_until: Option<Instant>,
    /// The container may have changed since the last inspection.
    dirty: bool,
    /// The time of the next inspection without a hint.
    inspect_at: Option<Instant>,
    /// The pause before the inspection after that, if one follows another.
    pause: Option<Duration>,
    /// The time and the number of a process that has ended, while the engine has not noticed it.
    ended_process: Option<(Instant, u32)>,
    health: Option<HealthWait>,
    /// A failing health check was logged already.
    unhealthy: bool,
    /// The main process at the last inspection.
    pid: Option<u32>,
}

/// The wait for the first successful health check.
#[derive(Debug)]
struct HealthWait {
    since: Instant,
    /// Whether dormouse may run further checks; `None` until the engine was asked.
    extra_checks: Option<bool>,
    warned: bool,
}

impl Task {
    fn new(container: Container, context: ActivatorContext) -> Self {
        Self {
            operations: Operations::new(container, context),
            last_reported: LastReported::Stopped,
            watch: None,
            linger_until: None,
            // The container may run already.
            dirty: true,
            inspect_at: None,
            pause: None,
            ended_process: None,
            health: None,
            unhealthy: false,
            pid: None,
        }
    }

    async fn carry_out(&mut self, request: Request, cancelled: Cancelled) -> Event {
        match request {
            Request::Start => match self.operations.start(cancelled).await {
                Ok(foreign) => {
                    self.set_running();
                    self.wait_for_health();
                    Event::Launched { foreign }
                }
                Err(error) => Event::StartFailed(error),
            },
            Request::Stop => {
                self.operations.stop().await;
                self.set_stopped();
                Event::Stopped
            }
            Request::Freeze => match self.operations.freeze().await {
                Ok(()) => {
                    self.last_reported = LastReported::Frozen;
                    Event::Frozen
                }
                Err(error) => Event::FreezeFailed(error),
            },
            Request::Thaw => match self.operations.thaw(cancelled).await {
                Ok(()) => {
                    self.set_running();
                    Event::Thawed
                }
                Err(error) => {
                    self.set_stopped();
                    Event::Exited(Err(error))
                }
            },
        }
    }

    /// Waits for an event that no request has caused. Cancel safe.
    async fn next_event(&mut self) -> Event {
        loop {
            if !self.dirty {
                self.wait_for_hint().await;
                continue;
            }
            self.inspect_at = None;
            let event =
                match Inspection::of(&mut self.operations.engine, &self.operations.container.name).await {
                    Ok(inspection) => self.evaluate(&inspection).await,
                    Err(error) if error.is_not_found() => self.removed(),
                    Err(_) => {
                        // A stopped container is not inspected again before the next request.
                        if self.last_reported != LastReported::Stopped {
                            self.inspect_later(MIN_PAUSE);
                        }
                        None
                    }
                };
            self.dirty = false;
            if self.inspect_at.is_none() {
                self.pause = None;
            }
            if let Some(event) = event {
                return event;
            }
        }
    }

    async fn wait_for_hint(&mut self) {
        tokio::select! {
            hint = next_hint(self.watch.as_mut(), &mut self.operations.engine) => match hint {
                Hint::Changed => self.dirty = true,
                Hint::ProcessEnded => {
                    self.ended_process = self.pid.map(|pid| (Instant::now(), pid));
                    self.dirty = true;
                }
                Hint::Unhealthy => {
                    if self.health.is_none() && !self.unhealthy {
                        self.unhealthy = true;
                        self.warn("its health check fails");
                    }
                    self.dirty = self.health.is_some();
                }
            },
            () = at(self.inspect_at) => self.dirty = true,
            () = at(self.linger_until) => {
                self.linger_until = None;
                self.watch = None;
            }
        }
    }

    /// Compares an inspection with the last reported state. Returns the event to report.
    async fn evaluate(&mut self, inspection: &Inspection) -> Option<Event> {
        if self.operations.engine.is_podman() == Some(false) || inspection.run_state() == RunState::Running {
            self.watch();
        }
        self.pid = inspection.process();
        self.unhealthy &= inspection.health() != HealthStatus::Healthy;
        if let Some(watch) = &mut self.watch {
            // A process that has ended is not watched again, however long the engine takes to notice.
            let is_new = self.ended_process.is_none_or(|(_, pid)| Some(pid) != self.pid);
            watch.follow_process(self.pid.filter(|_| is_new), &inspection.id);
        }
        match (self.last_reported, inspection.run_state()) {
            (LastReported::Running, RunState::Running) => {
                if let Some((when, pid)) = self.ended_process.filter(|(_, pid)| Some(*pid) == self.pid) {
                    return self.ended_unnoticed(when, pid);
                }
                self.ended_process = None;
                self.check_health(inspection).await
            }
            (LastReported::Stopped | LastReported::Frozen, RunState::Running) => {
                self.set_running();
                self.wait_for_health();
                Some(Event::Running { foreign: !std::mem::take(&mut self.operations.owned) })
            }
            (LastReported::Stopped, RunState::Paused) if self.operations.owned => {
                // Dormouse paused it before a restart. From now on the service decides when to freeze it again.
                self.operations.unpause().await;
                // The next inspection shows the result.
                self.inspect_later(MIN_PAUSE);
                None
            }
            (LastReported::Stopped, RunState::Stopped) => {
                self.operations.owned = false;
                None
            }
            (LastReported::Running, RunState::Paused) => {
                // The next client starts it again.
                self.operations.notice("somebody else has paused it");
                self.set_ended_by_itself();
                Some(Event::Exited(Ok(())))
            }
            (LastReported::Running | LastReported::Frozen, RunState::Stopped) => {
                let ending =
                    inspection.ending().map_err(|reason| self.operations.error(Operation::Run, &reason));
                self.set_ended_by_itself();
                Some(Event::Exited(ending))
            }
            (LastReported::Frozen | LastReported::Stopped, RunState::Paused) => None,
        }
    }

    /// Handles a container that the engine reports as running although its process has ended.
    fn ended_unnoticed(&mut self, when: Instant, pid: u32) -> Option<Event> {
        if when.elapsed() < NOTICE_TIME {
            self.inspect_later(MIN_PAUSE);
            return None;
        }
        let reason = format!("its process {pid} is gone, but its engine says that it runs");
        let error = self.operations.error(Operation::Run, &reason);
        self.set_ended_by_itself();
        Some(Event::Exited(Err(error)))
    }

    async fn check_health(&mut self, inspection: &Inspection) -> Option<Event> {
        let wait = self.health.as_mut()?;
        let mut healthy = inspection.health();
        if healthy != HealthStatus::Healthy {
            // The engine may run its checks rarely or never. A check by dormouse must not make the engine act.
            let extra_checks = match wait.extra_checks {
                Some(extra_checks) => extra_checks,
                None => !failing_check_acts(&mut self.operations.engine, &self.operations.container.name)
                    .await
                    .unwrap_or(true),
            };
            wait.extra_checks = Some(extra_checks);
            if extra_checks {
                healthy = check_health(&mut self.operations.engine, &self.operations.container.name)
                    .await
                    .unwrap_or(healthy);
            }
        }
        match healthy {
            HealthStatus::Healthy => {
                self.health = None;
                return Some(Event::Ready);
            }
            HealthStatus::Unhealthy if !wait.warned && wait.since.elapsed() >= HEALTH_GRACE => {
                wait.warned = true;
                self.warn("its health check fails");
            }
            HealthStatus::Unhealthy | HealthStatus::Unknown => {}
        }
        self.inspect_later(HEALTH_PAUSE);
        None
    }

    fn wait_for_health(&mut self) {
        if self.operations.container.healthy {
            self.health = Some(HealthWait::new(Instant::now()));
            self.inspect_later(MIN_PAUSE);
        }
    }

    fn removed(&mut self) -> Option<Event> {
        if self.last_reported == LastReported::Stopped {
            return None;
        }
        let error = self.operations.error(Operation::Run, &"it was removed");
        self.set_stopped();
        Some(Event::Exited(Err(error)))
    }

    /// Schedules an inspection without a hint: after `first_pause` at first, then after growing pauses.
    fn inspect_later(&mut self, first_pause: Duration) {
        let pause = self.pause.unwrap_or(first_pause);
        self.inspect_at = Some(Instant::now() + pause);
        self.pause = Some((pause * 2).min(MAX_PAUSE));
    }

    fn set_running(&mut self) {
        self.last_reported = LastReported::Running;
        self.linger_until = None;
        self.ended_process = None;
        self.dirty = true;
        self.watch();
    }

    fn set_stopped(&mut self) {
        self.operations.last_end = Some(Instant::now());
        self.last_reported = LastReported::Stopped;
        self.operations.owned = false;
        self.health = None;
        self.inspect_at = None;
        self.pause = None;
        self.ended_process = None;
        self.pid = None;
        self.linger_until = None;
        self.dirty = false;
        // Docker's engine runs all the time, and reports a start by another program.
        if self.operations.engine.is_podman() != Some(false) {
            self.watch = None;
        }
    }

    fn set_ended_by_itself(&mut self) {
        let watch = self.watch.take();
        self.set_stopped();
        self.watch = watch;
        if self.operations.engine.is_podman() != Some(false) {
            self.linger_until = Some(Instant::now() + LINGER);
        }
    }

    fn watch(&mut self) {
        self.watch.get_or_insert_with(|| Watch::new(&self.operations.container.name));
    }

    fn warn(&self, what: &str) {
        (self.operations.context.log)(LogLine::Warning(&format!("{}: {what}", self.operations.container)));
    }
}

impl HealthWait {
    fn new(since: Instant) -> Self {
        Self { since, extra_checks: None, warned: false }
    }
}

async fn next_hint(watch: Option<&mut Watch>, engine: &mut Engine) -> Hint {
    match watch {
        Some(watch) => watch.next(engine).await,
        None => pending().await,
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => pending().await,
    }
}
