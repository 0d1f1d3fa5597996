//! Starts a unit.

use tokio::time::timeout;

use super::super::client::ManagerError;
use super::super::reason;
use super::super::state::{Phase, UnitState};
use super::{Driver, LastReported, RECHECK_PAUSE, RECONNECT_TIMEOUT};
use crate::{Event, Operation};

impl Driver {
    /// Starts the unit.
    pub(in super::super) async fn start(&mut self) {
        let started = loop {
            if let Err(reason) = self.ensure_connected(RECONNECT_TIMEOUT).await {
                break Err(reason);
            }
            match self.try_start().await {
                Err(ManagerError::Unreachable(reason)) => self.connection_lost(&reason),
                Ok(started) => break started,
                Err(ManagerError::Rejected { name, text }) => {
                    break Err(reason::rejection(&self.unit, &name, &text));
                }
            }
        };
        if let Err(reason) = started {
            self.owned = false;
            self.send(Event::StartFailed(self.error(Operation::Start, reason))).await;
            self.last_reported = LastReported::Stopped;
        }
    }

    /// Starts the unit over the present connection. `Ok(Err(…))` is the reason why the unit cannot be started.
    async fn try_start(&mut self) -> Result<Result<(), String>, ManagerError> {
        let mut job = None;
        loop {
            let state = self.client()?.state().await?;
            if state.load != "loaded" && state.phase() != Phase::Active {
                return Ok(Err(self.why_not_loaded(&state).await?));
            }
            match state.phase() {
                Phase::Active if !state.has_stop_job() => {
                    self.thaw_if_frozen().await?;
                    self.report_launched(LastReported::Running).await;
                    self.send(Event::Ready).await;
                    return Ok(Ok(()));
                }
                Phase::Activating | Phase::Restarting if !state.has_stop_job() => {
                    self.report_launched(LastReported::Launched).await;
                    return Ok(Ok(()));
                }
                // A stop in progress has to finish first. The unit is started again after that.
                Phase::Active | Phase::Deactivating | Phase::Activating | Phase::Restarting => {
                    self.client()?.changed().await?;
                }
                Phase::Inactive | Phase::Failed => match &job {
                    None => {
                        let client = self.client()?;
                        // The service has its own backoff. The manager's start limit would block the unit permanently.
                        let _ = client.call("ResetFailedUnit").await;
                        job = Some(client.enqueue("StartUnit").await?);
                        self.owned = true;
                    }
                    Some(job) => {
                        let client = self.client()?;
                        if let Some(result) = client.ended(job) {
                            // The state may be older than the end of the job.
                            let state = client.state().await?;
                            if matches!(state.phase(), Phase::Inactive | Phase::Failed) {
                                return Ok(Err(
                                    reason::start_failure(client, &self.unit, &state, &result).await?
                                ));
                            }
                        } else if state.job.is_some() {
                            client.changed().await?;
                        } else if let Ok(lost) = timeout(RECHECK_PAUSE, client.changed()).await {
                            lost?;
                        } else {
                            return Ok(Err(reason::start_failure(client, &self.unit, &state, "").await?));
                        }
                    }
                },
            }
        }
    }

    async fn report_launched(&mut self, state: LastReported) {
        self.send(Event::Launched { foreign: !self.owned }).await;
        self.last_reported = state;
    }

    async fn why_not_loaded(&self, state: &UnitState) -> Result<String, ManagerError> {
        reason::not_loaded(self.client()?, &self.unit, state).await
    }
}
