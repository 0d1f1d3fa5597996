//! What the activator reports.

use dormouse_activate::{ActivationError, Event as ActivatorEvent};
use dormouse_core::activation::Event;
use dormouse_log::{Bounded, Level};
use std::sync::Arc;

use super::{Launched, RunningDriver};
use crate::upstream::activation::readiness::Urgency;

/// The longest text of an error that is kept, in bytes.
const MAX_REASON: usize = 4 << 10;

impl RunningDriver {
    pub(super) fn handle_event(&mut self, event: ActivatorEvent) {
        let workload = Arc::clone(&self.driver.workload);
        match event {
            ActivatorEvent::Launched { foreign } => {
                if foreign {
                    workload.mark_foreign();
                }
                self.start_probes(Launched { urgency: Urgency::Requested, foreign });
            }
            ActivatorEvent::Running { foreign } => {
                self.found_own_workload = !foreign;
                self.start_probes(Launched { urgency: Urgency::Background, foreign });
            }
            ActivatorEvent::Ready => {
                self.ready_reported.send_replace(true);
            }
            ActivatorEvent::StartFailed(error) => {
                self.workload_ended();
                workload.record_event(Event::StartFailed, Some(reason(&error)));
            }
            ActivatorEvent::Exited(result) => {
                if result.is_ok() && workload.is_starting() {
                    for port in self.ports_of_brief_run() {
                        // The next run is for the clients that wait.
                        workload.mark_ready(port, None);
                    }
                }
                let event = Event::Exited { failed: result.is_err() };
                let reason = match result {
                    Err(error) => Some(reason(&error)),
                    Ok(()) if workload.is_starting() => {
                        Some(self.settings.activation.activator.properties().ended_early.to_owned())
                    }
                    Ok(()) => None,
                };
                self.workload_ended();
                workload.record_event(event, reason);
            }
            ActivatorEvent::Stopped => {
                // After a stop that took too long and was given up, the group's slot belongs to the next start.
                if !workload.is_starting() || self.group.is_entering() {
                    self.workload_ended();
                }
                workload.record_event(Event::Stopped, None);
            }
            ActivatorEvent::Frozen => workload.record_event(Event::Frozen, None),
            ActivatorEvent::FreezeFailed(error) => {
                let name = workload.name();
                self.driver.log.line(Level::Warning, format_args!("{name}: {error}"));
                workload.record_event(Event::FreezeFailed, None);
            }
            ActivatorEvent::Thawed => workload.record_event(Event::Thawed, None),
        }
    }

    /// Cleans up after the workload has ended.
    pub(super) fn workload_ended(&mut self) {
        self.launched = None;
        self.listeners.clear();
        self.probes.clear();
        self.group.release();
        self.found_own_workload = false;
        if self.outdated {
            self.start_activator();
        }
    }

    /// Replaces an activator whose task has ended unexpectedly.
    pub(super) fn replace_failed_activator(&mut self) {
        let name = self.driver.workload.name();
        self.driver
            .log
            .line(Level::Err, format_args!("{name}: the activator ended unexpectedly; restarting it."));
        self.start_activator();
        self.workload_ended();
        self.driver.workload.record_event(
            Event::Exited { failed: true },
            Some("its activator ended unexpectedly".to_owned()),
        );
    }
}

/// Returns the text of an error, which is kept and shown. It may quote another program.
fn reason(error: &ActivationError) -> String {
    Bounded(error, MAX_REASON).to_string()
}
