//! The task of a container: it receives requests and sends events.

mod evaluate;
mod health;

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use dormouse_sys::event_loop::sleep_until;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::watch as signal;
use tokio::time::Instant;

use self::health::HealthWait;
use super::Container;
use super::engine::Engine;
use super::inspect::Inspection;
use super::operations::{Cancelled, MAX_PAUSE, MIN_PAUSE, Operations};
use super::watch::{Hint, Watch};
use crate::{ActivatorContext, Event, LogLine, Request};

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
            () = sleep_until(self.inspect_at) => self.dirty = true,
            () = sleep_until(self.linger_until) => {
                self.linger_until = None;
                self.watch = None;
            }
        }
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

async fn next_hint(watch: Option<&mut Watch>, engine: &mut Engine) -> Hint {
    match watch {
        Some(watch) => watch.next(engine).await,
        None => pending().await,
    }
}
