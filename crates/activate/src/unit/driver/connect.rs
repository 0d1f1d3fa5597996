//! Connecting to the service manager.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::{Driver, ManagerError, UnitClient, reason};

/// The time that a request waits for a manager that was never reachable.
const FIRST_TIMEOUT: Duration = Duration::from_secs(2);

impl Driver {
    /// Connects to the manager, unless a connection exists. The error is a reason.
    pub(super) async fn ensure_connected(&mut self, limit: Duration) -> Result<(), String> {
        if self.client.is_some() {
            return Ok(());
        }
        self.backoff.reset();
        let deadline = Instant::now() + if self.was_reachable { limit } else { limit.min(FIRST_TIMEOUT) };
        let mut last = "it did not answer".to_owned();
        loop {
            match timeout_at(deadline, self.connect()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(ManagerError::Rejected { name, text })) => {
                    return Err(reason::rejection(&self.unit, &name, &text));
                }
                Ok(Err(ManagerError::Unreachable(reason))) => last = reason,
                Err(_) => return Err(format!("{}: {last}", self.unit.manager)),
            }
        }
    }

    /// Makes one attempt to reach the manager, after a pause that grows with each attempt.
    pub(super) async fn connect(&mut self) -> Result<(), ManagerError> {
        if self.loss_logged {
            sleep(self.backoff.next_delay()).await;
        }
        match UnitClient::connect(&self.unit).await {
            Ok(client) => {
                self.client = Some(client);
                self.backoff.reset();
                self.was_reachable = true;
                if std::mem::take(&mut self.loss_logged) {
                    self.log_notice(&format!("{} is reachable again", self.unit.manager));
                }
                Ok(())
            }
            Err(ManagerError::Unreachable(reason)) => {
                self.connection_lost(&reason);
                Err(ManagerError::Unreachable(reason))
            }
            rejected => rejected.map(drop),
        }
    }

    /// Drops the connection, and logs the reason once.
    pub(super) fn connection_lost(&mut self, reason: &str) {
        self.client = None;
        if !std::mem::replace(&mut self.loss_logged, true) {
            self.log_notice(&format!("{}: {reason}; reconnecting", self.unit.manager));
        }
    }

    /// Returns the present connection.
    pub(super) fn client(&self) -> Result<&UnitClient, ManagerError> {
        self.client.as_ref().ok_or_else(|| ManagerError::Unreachable("it is not connected".to_owned()))
    }
}
