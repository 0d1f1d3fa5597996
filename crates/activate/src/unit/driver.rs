//! Carries out requests for a unit, and reports its changes.

mod connect;
mod start;
mod stop;

use std::time::Duration;

use dormouse_core::backoff::Backoff;
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};

use super::Unit;
use super::client::{ManagerError, UNIT, UnitClient};
use super::dbus::Value;
use super::reason;
use super::state::Phase;
use crate::{ActivationError, ActivatorContext, Event, LogLine, Operation};

/// The time that a request waits for an unreachable manager. It is shorter than the default hold of clients.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The time to wait for the end of a job that has vanished, before the unit is read again.
const RECHECK_PAUSE: Duration = Duration::from_secs(1);

/// The state of the activator of a unit.
pub(super) struct Driver {
    unit: Unit,
    context: ActivatorContext,
    events: Sender<Event>,
    client: Option<UnitClient>,
    /// The pauses between attempts to reach the manager.
    backoff: Backoff,
    /// The manager was reachable before.
    was_reachable: bool,
    /// The loss of the manager was logged already.
    loss_logged: bool,
    last_reported: LastReported,
    /// Dormouse has started the unit.
    owned: bool,
}

/// The state that the last event reported to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastReported {
    /// The unit does not run.
    Stopped,
    /// The unit was launched, and may still be starting.
    Launched,
    /// The unit runs.
    Running,
}

impl Driver {
    pub(super) fn new(unit: Unit, context: ActivatorContext, events: Sender<Event>) -> Self {
        Self {
            owned: context.started_by_dormouse,
            unit,
            context,
            events,
            client: None,
            backoff: Backoff::new(Duration::from_millis(20), Duration::from_secs(5)),
            was_reachable: false,
            loss_logged: false,
            last_reported: LastReported::Stopped,
        }
    }

    /// Waits for one change of the unit, and reports it. Cancel safe.
    pub(super) async fn watch(&mut self) {
        let watched = match &self.client {
            Some(client) => client.changed().await,
            None => self.connect().await,
        };
        let watched = match watched {
            Ok(()) => self.report_changes().await,
            error => error,
        };
        match watched {
            Ok(()) => {}
            Err(ManagerError::Unreachable(reason)) => self.connection_lost(&reason),
            // Dormouse may not read the state, or there is no such unit. The next request reports the reason.
            Err(ManagerError::Rejected { .. }) => sleep(RECHECK_PAUSE).await,
        }
    }

    /// Freezes the unit.
    pub(super) async fn freeze(&mut self) {
        let limit = self.context.stop_timeout;
        let frozen = match timeout(limit, self.call("FreezeUnit")).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(ManagerError::Unreachable(reason))) => Err(reason),
            Ok(Err(ManagerError::Rejected { name, text })) => {
                Err(reason::rejection(&self.unit, &name, &text))
            }
            Err(_) => {
                // The freeze may still complete.
                let _ = timeout(limit, self.call("ThawUnit")).await;
                Err(format!("it was not frozen within {} s", limit.as_secs_f32()))
            }
        };
        match frozen {
            Ok(()) => self.send(Event::Frozen).await,
            Err(reason) => {
                self.send(Event::FreezeFailed(self.error(Operation::Freeze, reason))).await;
            }
        }
    }

    /// Thaws the unit.
    pub(super) async fn thaw(&mut self) {
        let limit = self.context.stop_timeout;
        let thawed = match timeout(limit, self.call("ThawUnit")).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(ManagerError::Unreachable(reason))) => Err(reason),
            Ok(Err(ManagerError::Rejected { name, text })) => {
                Err(reason::rejection(&self.unit, &name, &text))
            }
            Err(_) => Err(format!("it was not thawed within {} s", limit.as_secs_f32())),
        };
        match thawed {
            Ok(()) => self.send(Event::Thawed).await,
            // Waiting clients cannot be served. If the unit has ended, that is the reason.
            Err(reason) => {
                self.send(Event::Exited(Err(self.error(Operation::Thaw, reason)))).await;
                self.last_reported = LastReported::Stopped;
            }
        }
    }

    async fn call(&mut self, method: &str) -> Result<(), ManagerError> {
        loop {
            self.ensure_connected(RECONNECT_TIMEOUT).await.map_err(ManagerError::Unreachable)?;
            match self.client()?.call(method).await {
                Err(ManagerError::Unreachable(reason)) => self.connection_lost(&reason),
                done => return done,
            }
        }
    }

    async fn thaw_if_frozen(&self) -> Result<(), ManagerError> {
        if self.is_frozen().await? { self.client()?.call("ThawUnit").await } else { Ok(()) }
    }

    async fn is_frozen(&self) -> Result<bool, ManagerError> {
        // systemd before 246 cannot freeze units.
        let state = self.client()?.property(UNIT, "FreezerState").await?;
        Ok(matches!(state, Some(Value::Text(state)) if state != "running"))
    }

    /// Reads the state of the unit, and reports the change since the last event.
    async fn report_changes(&mut self) -> Result<(), ManagerError> {
        let client = self.client()?;
        let state = client.state().await?;
        match (self.last_reported, state.phase()) {
            (LastReported::Stopped, Phase::Active) if !state.has_stop_job() => {
                if self.owned {
                    // Dormouse may have frozen it before a restart.
                    self.thaw_if_frozen().await?;
                } else if self.is_frozen().await? {
                    // It accepts connections and answers none. The next start thaws it.
                    return Ok(());
                }
                self.send(Event::Running { foreign: !self.owned }).await;
                self.last_reported = LastReported::Launched;
                self.send(Event::Ready).await;
                self.last_reported = LastReported::Running;
            }
            (LastReported::Launched, Phase::Active) => {
                self.send(Event::Ready).await;
                self.last_reported = LastReported::Running;
            }
            (LastReported::Launched, Phase::Activating | Phase::Restarting)
            | (LastReported::Running, Phase::Active)
            | (LastReported::Stopped, Phase::Active | Phase::Activating | Phase::Restarting) => {}
            (LastReported::Stopped, Phase::Inactive | Phase::Failed | Phase::Deactivating) => {
                self.owned = false;
            }
            // Its manager restarts it. New clients wait for that, and the service does not count a failure.
            (LastReported::Running, Phase::Activating | Phase::Restarting) => {
                let reason = reason::unrequested_end(client, &self.unit).await?;
                if let Err(reason) = reason {
                    self.log_warning(&format!(
                        "{}; the manager restarts it",
                        self.error(Operation::Run, reason)
                    ));
                }
                self.report_exit(Ok(())).await;
            }
            // It ends by itself. Whether its manager restarts it then, the next state says.
            (LastReported::Running | LastReported::Launched, Phase::Deactivating) if state.job.is_none() => {}
            (
                last @ (LastReported::Running | LastReported::Launched),
                Phase::Deactivating | Phase::Inactive | Phase::Failed,
            ) => {
                let reason = match reason::unrequested_end(client, &self.unit).await? {
                    Ok(()) if last == LastReported::Launched => Err(reason::ended_early(&self.unit, &state)),
                    reason => reason,
                };
                if reason.is_ok() {
                    self.log_notice(&format!("{} was stopped by another program", self.unit));
                }
                self.owned = false;
                self.report_exit(reason).await;
            }
        }
        Ok(())
    }

    async fn report_exit(&mut self, how: Result<(), String>) {
        let how = how.map_err(|reason| self.error(Operation::Run, reason));
        self.send(Event::Exited(how)).await;
        self.last_reported = LastReported::Stopped;
    }

    fn error(&self, operation: Operation, reason: String) -> ActivationError {
        ActivationError { workload: self.unit.to_string(), operation, reason }
    }

    /// Sends an event. An owner that has closed this channel closes the channel of requests, too.
    async fn send(&self, event: Event) {
        let _ = self.events.send(event).await;
    }

    fn log_notice(&self, line: &str) {
        (self.context.log)(LogLine::Notice(line));
    }

    fn log_warning(&self, line: &str) {
        (self.context.log)(LogLine::Warning(line));
    }
}
