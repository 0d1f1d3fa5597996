//! The task that owns a workload: it carries out what the machine decides, and records what came of it.

mod events;
mod ports;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dormouse_activate::{
    Activator, ActivatorContext, Event as ActivatorEvent, LogLine, Request, RunProcesses,
};
use dormouse_core::activation::{Event, Eviction, Port};
use dormouse_core::schedule::is_open;
use dormouse_log::{Level, Log};
use dormouse_sys::event_loop::sleep_until;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::group::{GroupEvent, Membership};
use super::listener_check::{ListenerCheck, ListenersBefore};
use super::probes::Probes;
use super::readiness::Urgency;
use super::settings::WorkloadSettings;
use crate::upstream::workload::Workload;

/// What a driver starts with.
pub(super) struct Driver {
    pub(super) workload: Arc<Workload>,
    /// The settings, which may change at any time.
    pub(super) settings: watch::Receiver<Arc<WorkloadSettings>>,
    pub(super) log: Log,
    /// Closed when the drivers of removed workloads that this one replaces have ended.
    pub(super) predecessors: Vec<oneshot::Receiver<()>>,
    /// Whether dormouse started the running workload before its own restart.
    pub(super) started_by_dormouse: bool,
    /// Dropped when the driver has ended.
    pub(super) ended: oneshot::Sender<()>,
}

/// The time between two looks at the time of day.
const KEEP_WARM_INTERVAL: Duration = Duration::from_secs(20);
/// The time beyond the stop timeout in which an activator reports the end.
const END_MARGIN: Duration = Duration::from_secs(1);

impl Driver {
    /// Drives the workload until `end` is notified, then stops what dormouse has started.
    pub(super) async fn run(mut self, end: Arc<Notify>) {
        for predecessor in std::mem::take(&mut self.predecessors) {
            // The predecessor has ended with either result.
            let _ = predecessor.await;
        }
        let settings = Arc::clone(&self.settings.borrow_and_update());
        let processes = RunProcesses::default();
        let name = self.workload.name();
        let context = self.context(name.clone(), &settings, self.started_by_dormouse, &processes);
        let mut running = RunningDriver {
            activator_name: name,
            activator: dormouse_activate::spawn(settings.activation.activator.clone(), context),
            outdated: false,
            driver: self,
            settings,
            launched: None,
            ready_reported: watch::Sender::new(false),
            processes,
            listeners_before: HashMap::new(),
            listeners: Vec::new(),
            probes: Probes::default(),
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

    /// Returns the context of what belongs to the workload, or to the server, of this name.
    fn context(
        &self,
        name: String,
        settings: &WorkloadSettings,
        started_by_dormouse: bool,
        processes: &RunProcesses,
    ) -> ActivatorContext {
        let (prefix, log) = (name.clone(), self.log.clone());
        let write = Arc::new(move |line: LogLine<'_>| match line {
            LogLine::Output(text) => log.line(Level::Info, format_args!("{prefix}| {text}")),
            LogLine::Notice(text) => log.line(Level::Notice, format_args!("{prefix}: {text}")),
            LogLine::Warning(text) => log.line(Level::Warning, format_args!("{prefix}: {text}")),
        });
        ActivatorContext {
            name,
            stop_timeout: settings.activation.stop_timeout,
            started_by_dormouse,
            processes: processes.clone(),
            log: write,
        }
    }
}

/// A driver with its activator.
struct RunningDriver {
    driver: Driver,
    settings: Arc<WorkloadSettings>,
    activator: Activator,
    /// The name of the workload when the activator was started.
    activator_name: String,
    /// The activator has former settings. It is replaced when the workload does not run.
    outdated: bool,
    /// How the present run began. `None`: the workload does not run, as far as the activator has reported.
    launched: Option<Launched>,
    /// Whether the workload has reported that it is ready.
    ready_reported: watch::Sender<bool>,
    /// Where the processes of the present run begin.
    processes: RunProcesses,
    /// The listeners that were at the addresses of each server before the last start.
    listeners_before: HashMap<Port, ListenersBefore>,
    /// Judge the listeners of the present run.
    listeners: Vec<(Port, Arc<ListenerCheck>)>,
    /// Try whether the servers are ready.
    probes: Probes,
    group: Membership,
    /// Dormouse had started the workload that was found running.
    found_own_workload: bool,
    /// Expires when the time of day is looked at next.
    keep_warm_timer: Pin<Box<Sleep>>,
}

/// How a run of the workload began.
#[derive(Debug, Clone, Copy)]
struct Launched {
    urgency: Urgency,
    /// Dormouse has not started the workload.
    foreign: bool,
}

impl RunningDriver {
    async fn run(&mut self) {
        let workload = Arc::clone(&self.driver.workload);
        loop {
            let due = workload.tick();
            while let Some(request) = workload.next_request() {
                self.handle_request(request).await;
            }
            self.hasten_probes();
            tokio::select! {
                () = workload.driver_wakeup.notified() => {}
                event = self.activator.events.recv() => match event {
                    Some(event) => self.handle_event(event),
                    None => self.replace_failed_activator(),
                },
                (port, conn) = self.probes.next_ready() => {
                    workload.mark_ready(port, conn);
                    if std::mem::take(&mut self.found_own_workload) {
                        workload.mark_owned();
                    }
                }
                event = self.group.next_event() => match event {
                    GroupEvent::Entered => self.request_start().await,
                    GroupEvent::Contended(contended) => {
                        workload.set_eviction(Eviction::ExclusiveGroup, contended);
                    }
                },
                () = sleep_until(due.map(Into::into)) => {}
                () = &mut self.keep_warm_timer, if !self.settings.activation.keep_warm.is_empty() => {
                    let (day, minute) = dormouse_sys::local_time::weekday_and_minute();
                    workload.set_keep_warm(is_open(&self.settings.activation.keep_warm, day, minute));
                    self.keep_warm_timer = Box::pin(sleep(KEEP_WARM_INTERVAL));
                }
                // The sender lives as long as the workload is registered.
                Ok(()) = self.driver.settings.changed() => self.apply_settings(),
            }
        }
    }

    /// Applies new settings. A running workload keeps running. Another activator counts from the next start on, and the
    /// workload is stopped for it as soon as it is not in use.
    fn apply_settings(&mut self) {
        let settings = Arc::clone(&self.driver.settings.borrow_and_update());
        let before = std::mem::replace(&mut self.settings, settings);
        self.apply_ports(&before);
        let workload = Arc::clone(&self.driver.workload);
        let (before, now) = (&before.activation, &self.settings.activation);
        if before.keep_warm != now.keep_warm {
            self.keep_warm_timer = Box::pin(sleep(Duration::ZERO));
            if now.keep_warm.is_empty() {
                workload.set_keep_warm(false);
            }
        }
        let other_activator = before.activator != now.activator;
        let is_changed = other_activator || before.stop_timeout != now.stop_timeout;
        if !is_changed && workload.name() == self.activator_name {
            return;
        }
        self.outdated = true;
        if !is_changed {
            // The name of a run stays. The activator may still find out whose run it is.
            if workload.is_stopped() && self.launched.is_none() {
                self.start_activator();
            }
        } else if workload.is_stopped() {
            self.start_activator();
            workload.reset_backoff();
        } else if other_activator && workload.is_foreign() {
            // Dormouse has not started this workload, and the new activator means another one.
            self.workload_ended();
            workload.record_event(Event::Exited { failed: false }, None);
        } else if other_activator {
            workload.set_eviction(Eviction::ConfigChanged, true);
        }
    }

    /// Starts an activator with the present settings. The one before ends because its requests are closed.
    fn start_activator(&mut self) {
        self.outdated = false;
        self.activator_name = self.driver.workload.name();
        let context =
            self.driver.context(self.activator_name.clone(), &self.settings, false, &self.processes);
        self.activator = dormouse_activate::spawn(self.settings.activation.activator.clone(), context);
    }

    async fn handle_request(&mut self, request: Request) {
        match request {
            Request::Start => {
                self.ready_reported = watch::Sender::new(false);
                if !self.group.enter(self.settings.activation.group.as_ref()) {
                    self.request_start().await;
                }
                return;
            }
            Request::Stop if self.group.is_entering() => {
                // The workload was never started.
                self.group.cancel();
                self.driver.workload.record_event(Event::Stopped, None);
                return;
            }
            Request::Stop => {
                self.launched = None;
                self.probes.clear();
            }
            Request::Freeze | Request::Thaw => {}
        }
        self.send(request).await;
    }

    /// Lets the activator start the workload. What listens now is none of its listeners.
    async fn request_start(&mut self) {
        self.look_at_listeners().await;
        self.send(Request::Start).await;
    }

    async fn send(&mut self, request: Request) {
        // An activator receives its requests at once. One that has failed is replaced when its events end.
        let _ = self.activator.requests.send(request).await;
    }

    /// Stops what dormouse has started, and lets the activator end. Ends within the stop timeout and a margin, also where the
    /// workload cannot be stopped.
    async fn end(mut self) {
        let began = Instant::now();
        let limit = self.settings.activation.stop_timeout.saturating_add(END_MARGIN);
        if self.driver.workload.is_owned() {
            let stopped = async {
                self.send(Request::Stop).await;
                while let Some(event) = self.activator.events.recv().await {
                    if matches!(event, ActivatorEvent::Stopped) {
                        return self.driver.workload.record_last_stop();
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

#[cfg(test)]
mod tests;
