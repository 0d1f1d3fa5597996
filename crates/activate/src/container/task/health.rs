//! The wait for the first successful health check.

use std::time::Duration;

use tokio::time::Instant;

use super::super::inspect::{HealthStatus, Inspection, check_health, failing_check_acts};
use super::super::operations::MIN_PAUSE;
use super::Task;
use crate::Event;

/// The first pause between two looks at the health check.
const HEALTH_PAUSE: Duration = Duration::from_millis(100);
/// The time after a start in which a failing health check is not logged.
const HEALTH_GRACE: Duration = Duration::from_secs(5);
/// The wait for the first successful health check.
#[derive(Debug)]
pub(super) struct HealthWait {
    since: Instant,
    /// Whether dormouse may run further checks; `None` until the engine was asked.
    extra_checks: Option<bool>,
    warned: bool,
}

impl HealthWait {
    fn new(since: Instant) -> Self {
        Self { since, extra_checks: None, warned: false }
    }
}

impl Task {
    /// Checks the health, if the service waits for it. Returns the event to report.
    pub(super) async fn check_health(&mut self, inspection: &Inspection) -> Option<Event> {
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

    /// Begins to wait for the health check, if the configuration asks for it.
    pub(super) fn wait_for_health(&mut self) {
        if self.operations.container.healthy {
            self.health = Some(HealthWait::new(Instant::now()));
            self.inspect_later(MIN_PAUSE);
        }
    }
}
