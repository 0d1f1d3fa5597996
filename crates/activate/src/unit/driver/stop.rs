//! Stopping a unit.

use std::time::Duration;

use tokio::time::timeout;

use super::super::state::UnitState;
use super::{Driver, LastReported, ManagerError, Phase, reason};
use crate::{Event, Operation};

/// The time that a unit may take to end after SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

impl Driver {
    /// Stops the unit, by SIGKILL if necessary. The unit may still run afterwards if even that fails, which is logged.
    pub(in crate::unit) async fn stop(&mut self) {
        let limit = self.context.stop_timeout;
        match timeout(limit, self.stop_in_good_order()).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => self.log_warning(&self.error(Operation::Stop, reason).to_string()),
            Err(_) => {
                let unit = &self.unit;
                self.log_warning(&format!(
                    "{unit} did not stop within {} s; killing it",
                    limit.as_secs_f32()
                ));
                if timeout(KILL_TIMEOUT, self.kill()).await.is_err() {
                    self.log_warning(&format!("{} did not stop after SIGKILL", self.unit));
                }
            }
        }
        self.owned = false;
        self.send(Event::Stopped).await;
        self.last_reported = LastReported::Stopped;
    }

    /// Stops the unit by a stop job. The error is a reason.
    async fn stop_in_good_order(&mut self) -> Result<(), String> {
        loop {
            self.ensure_connected(self.context.stop_timeout).await?;
            match self.try_stop().await {
                Ok(()) => return Ok(()),
                Err(ManagerError::Unreachable(reason)) => self.connection_lost(&reason),
                Err(ManagerError::Rejected { name, text }) => {
                    return Err(reason::rejection(&self.unit, &name, &text));
                }
            }
        }
    }

    async fn try_stop(&mut self) -> Result<(), ManagerError> {
        let client = self.client()?;
        let state = client.state().await?;
        if is_stopped(&state) {
            return Ok(());
        }
        if state.phase() == Phase::Active {
            self.thaw_if_frozen().await?;
        }
        let job = client.enqueue("StopUnit").await?;
        loop {
            if client.ended(&job).is_some() || is_stopped(&client.state().await?) {
                return Ok(());
            }
            client.changed().await?;
        }
    }

    async fn kill(&mut self) {
        loop {
            if self.ensure_connected(KILL_TIMEOUT).await.is_err() {
                return;
            }
            match self.try_kill().await {
                Ok(()) => return,
                Err(ManagerError::Unreachable(reason)) => self.connection_lost(&reason),
                Err(ManagerError::Rejected { name, text }) => {
                    return self.log_warning(&reason::rejection(&self.unit, &name, &text));
                }
            }
        }
    }

    async fn try_kill(&mut self) -> Result<(), ManagerError> {
        let client = self.client()?;
        client.kill().await?;
        loop {
            if is_stopped(&client.state().await?) {
                return Ok(());
            }
            client.changed().await?;
        }
    }
}

/// Returns whether the unit does not run and has no job.
fn is_stopped(state: &UnitState) -> bool {
    matches!(state.phase(), Phase::Inactive | Phase::Failed) && state.job.is_none()
}
