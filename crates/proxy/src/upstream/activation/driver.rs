//! The task that owns a wakeable server: it carries out what the machine decides, and records what came of it.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dormouse_activate::{
    ActivationError, Activator, ActivatorContext, Event as ActivatorEvent, ListenerRule, LogLine, Request,
    RunProcesses,
};
use dormouse_core::activation::{Event, Eviction};
use dormouse_core::schedule::is_open;
use dormouse_log::{Bounded, Level, Log};
use dormouse_relay::Stream;
use dormouse_sys::event_loop::sleep_until;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::group::{GroupEvent, Membership};
use super::listener_check::{ListenerCheck, ListenersBefore};
use super::readiness::{Probe, Urgency};
use super::settings::ActivationSettings;
use crate::upstream::wakeable::WakeableServer;

/// What a driver starts with.
pub(super) struct Driver {
    pub(super) server: Arc<WakeableServer>,
    /// The settings, which may change at any time.
    pub(super) settings: watch::Receiver<Arc<ActivationSettings>>,
    pub(super) log: Log,
    /// Closed when the driver of the removed server of the same identity has ended.
    pub(super) predecessor: Option<oneshot::Receiver<()>>,
    /// Whether dormouse started the running workload before its own restart.
    pub(super) started_by_dormouse: bool,
    /// Dropped when the driver has ended.
    pub(super) ended: oneshot::Sender<()>,
}

/// The time between two looks at the time of day.
const KEEP_WARM_INTERVAL: Duration = Duration::from_secs(20);
/// The time beyond the stop timeout in which an activator reports the end.
const END_MARGIN: Duration = Duration::from_secs(1);
/// The longest text of an error that is kept, in bytes.
const MAX_REASON: usize = 4 << 10;

impl Driver {
    /// Drives the server until `end` is notified, then stops what dormouse has started.
    pub(super) async fn run(mut self, end: Arc<Notify>) {
        if let Some(predecessor) = self.predecessor.take() {
            // The predecessor has ended with either result.
            let _ = predecessor.await;
        }
        let settings = Arc::clone(&self.settings.borrow_and_update());
        let processes = RunProcesses::default();
        let context = self.context(&settings, self.started_by_dormouse, &processes);
        let mut running = RunningDriver {
            activator: dormouse_activate::spawn(settings.activator.clone(), context),
            outdated: false,
            driver: self,
            settings,
            ready_reported: Arc::new(Notify::new()),
            processes,
            listeners_before: ListenersBefore::default(),
            listeners: None,
            probe: None,
            group: Membership::default(),
            found_own_workload: false,
            keep_warm_timer: Box::pin(sleep(Duration::ZERO)),
        };
        tokio::select! {
            () = running.run() => {}
            () = end.notified() => {}
        }
        running.end().await;
    }

    fn context(
        &self,
        settings: &ActivationSettings,
        started_by_dormouse: bool,
        processes: &RunProcesses,
    ) -> ActivatorContext {
        let (name, log) = (self.server.name().to_owned(), self.log.clone());
        let write = Arc::new(move |line: LogLine<'_>| match line {
            LogLine::Output(text) => log.line(Level::Info, format_args!("{name}| {text}")),
            LogLine::Notice(text) => log.line(Level::Notice, format_args!("{name}: {text}")),
            LogLine::Warning(text) => log.line(Level::Warning, format_args!("{name}: {text}")),
        });
        ActivatorContext {
            name: self.server.name().to_owned(),
            stop_timeout: settings.stop_timeout,
            started_by_dormouse,
            processes: processes.clone(),
            log: write,
        }
    }
}

/// A driver with its activator.
struct RunningDriver {
    driver: Driver,
    settings: Arc<ActivationSettings>,
    activator: Activator,
    /// The activator has former settings. It is replaced when the workload does not run.
    outdated: bool,
    /// Notified when the workload reports that it is ready.
    ready_reported: Arc<Notify>,
    /// Where the processes of the present run begin.
    processes: RunProcesses,
    /// The listeners that were at the server's addresses before the last start.
    listeners_before: ListenersBefore,
    /// Judges the listeners of the present run.
    listeners: Option<Arc<ListenerCheck>>,
    /// Tries whether the server is ready.
    probe: Option<Probe>,
    group: Membership,
    /// Dormouse had started the workload that was found running.
    found_own_workload: bool,
    /// Expires when the time of day is looked at next.
    keep_warm_timer: Pin<Box<Sleep>>,
}

impl RunningDriver {
    async fn run(&mut self) {
        let server = Arc::clone(&self.driver.server);
        loop {
            let due = server.tick();
            while let Some(request) = server.next_request() {
                self.handle_request(request).await;
            }
            tokio::select! {
                () = server.driver_wakeup.notified() => {}
                event = self.activator.events.recv() => match event {
                    Some(event) => self.handle_event(event),
                    None => self.replace_failed_activator(),
                },
                conn = wait_for_probe(&mut self.probe) => {
                    self.probe = None;
                    server.mark_ready(conn);
                    if std::mem::take(&mut self.found_own_workload) {
                        server.mark_owned();
                    }
                }
                event = self.group.next_event() => match event {
                    GroupEvent::Entered => self.request_start().await,
                    GroupEvent::Contended(contended) => {
                        server.set_eviction(Eviction::ExclusiveGroup, contended);
                    }
                },
                () = sleep_until(due.map(Into::into)) => {}
                () = &mut self.keep_warm_timer, if !self.settings.keep_warm.is_empty() => {
                    let (day, minute) = dormouse_sys::local_time::weekday_and_minute();
                    server.set_keep_warm(is_open(&self.settings.keep_warm, day, minute));
                    self.keep_warm_timer = Box::pin(sleep(KEEP_WARM_INTERVAL));
                }
                // The sender lives as long as the server is registered.
                Ok(()) = self.driver.settings.changed() => self.apply_settings(),
            }
        }
    }

    /// Applies new settings. A running workload keeps running. Another activator counts from the next start on, and the
    /// workload is stopped for it as soon as it is not in use.
    fn apply_settings(&mut self) {
        let settings = Arc::clone(&self.driver.settings.borrow_and_update());
        let before = std::mem::replace(&mut self.settings, settings);
        let server = Arc::clone(&self.driver.server);
        if before.keep_warm != self.settings.keep_warm {
            self.keep_warm_timer = Box::pin(sleep(Duration::ZERO));
            if self.settings.keep_warm.is_empty() {
                server.set_keep_warm(false);
            }
        }
        if before.listener != self.settings.listener && !server.is_stopped() && self.probe.is_none() {
            self.renew_listener_check(server.is_foreign());
        }
        let other_activator = before.activator != self.settings.activator;
        if !other_activator && before.stop_timeout == self.settings.stop_timeout {
            return;
        }
        self.outdated = true;
        if server.is_stopped() {
            self.start_activator();
            server.reset_backoff();
        } else if other_activator && server.is_foreign() {
            // Dormouse has not started this workload, and the new activator means another one.
            self.workload_ended();
            server.record_event(Event::Exited { failed: false }, None);
        } else if other_activator {
            server.set_eviction(Eviction::ConfigChanged, true);
        }
    }

    /// Starts an activator with the present settings. The one before ends because its requests are closed.
    fn start_activator(&mut self) {
        self.outdated = false;
        let context = self.driver.context(&self.settings, false, &self.processes);
        self.activator = dormouse_activate::spawn(self.settings.activator.clone(), context);
    }

    async fn handle_request(&mut self, request: Request) {
        match request {
            Request::Start => {
                self.ready_reported = Arc::new(Notify::new());
                if !self.group.enter(self.settings.group.as_ref()) {
                    self.request_start().await;
                }
                return;
            }
            Request::Stop if self.group.is_entering() => {
                // The workload was never started.
                self.group.cancel();
                self.driver.server.record_event(Event::Stopped, None);
                return;
            }
            Request::Stop => self.probe = None,
            Request::Freeze | Request::Thaw => {}
        }
        self.send(request).await;
    }

    /// Lets the activator start the workload. What listens now is none of its listeners.
    async fn request_start(&mut self) {
        if self.settings.listener == ListenerRule::OwnBeforeStart {
            self.listeners_before = ListenersBefore::look(&self.settings.route).await;
        }
        self.send(Request::Start).await;
    }

    async fn send(&mut self, request: Request) {
        // An activator receives its requests at once. One that has failed is replaced when its events end.
        let _ = self.activator.requests.send(request).await;
    }

    fn handle_event(&mut self, event: ActivatorEvent) {
        let server = Arc::clone(&self.driver.server);
        match event {
            ActivatorEvent::Launched { foreign } => {
                if foreign {
                    server.mark_foreign();
                }
                self.start_probe(Urgency::Requested, foreign);
            }
            ActivatorEvent::Running { foreign } => {
                self.found_own_workload = !foreign;
                self.start_probe(Urgency::Background, foreign);
            }
            ActivatorEvent::Ready => self.ready_reported.notify_one(),
            ActivatorEvent::StartFailed(error) => {
                self.workload_ended();
                server.record_event(Event::StartFailed, Some(reason(&error)));
            }
            ActivatorEvent::Exited(result) => {
                if result.is_ok() && server.is_starting() && self.was_brief() {
                    // The next run is for the clients that wait.
                    server.mark_ready(None);
                }
                let event = Event::Exited { failed: result.is_err() };
                let reason = match result {
                    Err(error) => Some(reason(&error)),
                    Ok(()) if server.is_starting() => {
                        Some(self.settings.activator.properties().ended_early.to_owned())
                    }
                    Ok(()) => None,
                };
                self.workload_ended();
                server.record_event(event, reason);
            }
            ActivatorEvent::Stopped => {
                // After a stop that took too long and was given up, the group's slot belongs to the next start.
                if !server.is_starting() || self.group.is_entering() {
                    self.workload_ended();
                }
                server.record_event(Event::Stopped, None);
            }
            ActivatorEvent::Frozen => server.record_event(Event::Frozen, None),
            ActivatorEvent::FreezeFailed(error) => {
                let name = server.name();
                self.driver.log.line(Level::Warning, format_args!("{name}: {error}"));
                server.record_event(Event::FreezeFailed, None);
            }
            ActivatorEvent::Thawed => server.record_event(Event::Thawed, None),
        }
    }

    /// Begins to try whether the server is ready. `foreign`: dormouse has not started the workload.
    fn start_probe(&mut self, urgency: Urgency, foreign: bool) {
        let listeners = self.renew_listener_check(foreign);
        self.listeners = Some(Arc::clone(&listeners));
        let ActivationSettings { readiness, route, .. } = &*self.settings;
        let context = self.driver.context(&self.settings, false, &self.processes);
        self.probe = Some(readiness.probe(route, &self.ready_reported, urgency, context, listeners));
    }

    /// Has the listeners of the present run judged from now on, by the present rule. `foreign`: dormouse has not started
    /// the workload.
    fn renew_listener_check(&self, foreign: bool) -> Arc<ListenerCheck> {
        let ActivationSettings { route, activator, listener, spelling, .. } = &*self.settings;
        let context = self.driver.context(&self.settings, false, &self.processes);
        let before = (!foreign).then(|| self.listeners_before.clone());
        let server = &self.driver.server;
        let listeners = ListenerCheck::new(*listener, route, activator, context, before, (server, *spelling));
        server.set_connection_check(listeners.for_clients());
        listeners
    }

    /// Returns whether a run that has ended in good order was ready: it took the connection that was to show it, and ended
    /// before that was found out.
    fn was_brief(&self) -> bool {
        let took_connection = self.listeners.as_ref().is_some_and(|listeners| listeners.took_connection());
        took_connection && self.settings.readiness.needs_only_a_connection()
    }

    /// Cleans up after the workload has ended.
    fn workload_ended(&mut self) {
        self.listeners = None;
        self.probe = None;
        self.group.release();
        self.found_own_workload = false;
        if self.outdated {
            self.start_activator();
        }
    }

    /// Replaces an activator whose task has ended unexpectedly.
    fn replace_failed_activator(&mut self) {
        let name = self.driver.server.name();
        self.driver
            .log
            .line(Level::Err, format_args!("{name}: the activator ended unexpectedly; restarting it."));
        self.start_activator();
        self.workload_ended();
        self.driver.server.record_event(
            Event::Exited { failed: true },
            Some("its activator ended unexpectedly".to_owned()),
        );
    }

    /// Stops what dormouse has started, and lets the activator end. Ends within the stop timeout and a margin, also where the
    /// workload cannot be stopped.
    async fn end(mut self) {
        let began = Instant::now();
        let limit = self.settings.stop_timeout.saturating_add(END_MARGIN);
        if self.driver.server.is_owned() {
            let stopped = async {
                self.send(Request::Stop).await;
                while let Some(event) = self.activator.events.recv().await {
                    if matches!(event, ActivatorEvent::Stopped) {
                        return self.driver.server.record_last_stop();
                    }
                }
            };
            let _ = timeout(limit, stopped).await;
        }
        drop(self.activator.requests);
        let mut events = self.activator.events;
        let ended = async { while events.recv().await.is_some() {} };
        let _ = timeout(limit.saturating_sub(began.elapsed()).max(END_MARGIN), ended).await;
        self.activator.task.abort();
        drop(self.driver.ended);
    }
}

/// Returns the text of an error, which is kept and shown. It may quote another program.
fn reason(error: &ActivationError) -> String {
    Bounded(error, MAX_REASON).to_string()
}

async fn wait_for_probe(probe: &mut Option<Probe>) -> Option<Stream> {
    match probe {
        Some(probe) => probe.await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
