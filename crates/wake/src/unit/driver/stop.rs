//! Stopping, whatever it takes.

use std::time::Duration;

use tokio::time::timeout;

use super::{Driver, Phase, Seen, Told, Trouble, reason};
use crate::{News, Operation};

/// How long a unit may take to end after SIGKILL.
const KILLED: Duration = Duration::from_secs(5);

impl Driver {
    /// Stops it; when this is over it is stopped, or nothing more can be done about it.
    pub(in crate::unit) async fn stop(&mut self) {
        let limit = self.context.stop_timeout;
        match timeout(limit, self.stop_in_good_order()).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => self.warn(&self.error(Operation::Stop, reason).to_string()),
            Err(_) => {
                let unit = &self.unit;
                self.warn(&format!("{unit} has not stopped within {} s: killing it", limit.as_secs_f32()));
                if timeout(KILLED, self.kill()).await.is_err() {
                    self.warn(&format!("{} has not stopped although it was killed", self.unit));
                }
            }
        }
        self.ours = false;
        self.tell(News::Stopped).await;
        self.told = Told::Down;
    }

    /// The error is a reason.
    async fn stop_in_good_order(&mut self) -> Result<(), String> {
        loop {
            self.reach(self.context.stop_timeout).await?;
            match self.try_stop().await {
                Ok(()) => return Ok(()),
                Err(Trouble::Away(reason)) => self.lose(&reason),
                Err(Trouble::Refused { name, text }) => {
                    return Err(reason::refusal(&self.unit, &name, &text));
                }
            }
        }
    }

    async fn try_stop(&mut self) -> Result<(), Trouble> {
        let link = self.link()?;
        let seen = link.look().await?;
        if is_over(&seen) {
            return Ok(());
        }
        if seen.phase() == Phase::Up {
            self.thaw_if_frozen().await?;
        }
        let job = link.enqueue("StopUnit").await?;
        loop {
            if link.ended(&job).is_some() || is_over(&link.look().await?) {
                return Ok(());
            }
            link.changed().await?;
        }
    }

    async fn kill(&mut self) {
        loop {
            if self.reach(KILLED).await.is_err() {
                return;
            }
            match self.try_kill().await {
                Ok(()) => return,
                Err(Trouble::Away(reason)) => self.lose(&reason),
                Err(Trouble::Refused { name, text }) => {
                    return self.warn(&reason::refusal(&self.unit, &name, &text));
                }
            }
        }
    }

    async fn try_kill(&mut self) -> Result<(), Trouble> {
        let link = self.link()?;
        link.kill().await?;
        loop {
            if is_over(&link.look().await?) {
                return Ok(());
            }
            link.changed().await?;
        }
    }
}

/// It is down, and nothing is about to change that.
fn is_over(seen: &Seen) -> bool {
    matches!(seen.phase(), Phase::Down | Phase::Failed) && seen.job.is_none()
}
