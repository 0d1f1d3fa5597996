//! Derives events from an inspection and the last reported state.

use tokio::time::Instant;

use super::super::inspect::{HealthStatus, Inspection, RunState};
use super::super::operations::{MIN_PAUSE, NOTICE_TIME};
use super::{LastReported, Task};
use crate::{Event, Operation};

impl Task {
    /// Compares an inspection with the last reported state. Returns the event to report.
    pub(super) async fn evaluate(&mut self, inspection: &Inspection) -> Option<Event> {
        if self.operations.engine.is_podman() == Some(false) || inspection.run_state() == RunState::Running {
            self.watch();
        }
        self.pid = inspection.process();
        self.operations.record_processes(inspection);
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
                self.operations.notice("another program has paused it");
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
        let reason = format!("its process {pid} has ended, but the engine reports it as running");
        let error = self.operations.error(Operation::Run, &reason);
        self.set_ended_by_itself();
        Some(Event::Exited(Err(error)))
    }

    /// Handles a container that the engine does not have any more.
    pub(super) fn removed(&mut self) -> Option<Event> {
        if self.last_reported == LastReported::Stopped {
            return None;
        }
        let error = self.operations.error(Operation::Run, &"it was removed");
        self.set_stopped();
        Some(Event::Exited(Err(error)))
    }
}
