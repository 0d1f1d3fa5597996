//! The way to the manager, for as long as it takes.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::{Driver, Link, Trouble, reason};

/// How long an order waits for a manager that was never there.
const NEVER: Duration = Duration::from_secs(2);

impl Driver {
    /// Sees to it that the manager can be asked, or gives the reason why it cannot.
    pub(super) async fn reach(&mut self, patience: Duration) -> Result<(), String> {
        if self.link.is_some() {
            return Ok(());
        }
        self.backoff.reset();
        let deadline = Instant::now() + if self.known { patience } else { patience.min(NEVER) };
        let mut last = "it does not answer".to_owned();
        loop {
            match timeout_at(deadline, self.connect()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Trouble::Refused { name, text })) => {
                    return Err(reason::refusal(&self.unit, &name, &text));
                }
                Ok(Err(Trouble::Away(reason))) => last = reason,
                Err(_) => return Err(format!("{}: {last}", self.unit.manager)),
            }
        }
    }

    /// Tries once to reach the manager, after a pause that grows from try to try.
    pub(super) async fn connect(&mut self) -> Result<(), Trouble> {
        if self.mourned {
            sleep(self.backoff.next_delay()).await;
        }
        match Link::to(&self.unit).await {
            Ok(link) => {
                self.link = Some(link);
                self.backoff.reset();
                self.known = true;
                if std::mem::take(&mut self.mourned) {
                    self.note(&format!("{} is there again", self.unit.manager));
                }
                Ok(())
            }
            Err(Trouble::Away(reason)) => {
                self.lose(&reason);
                Err(Trouble::Away(reason))
            }
            refused => refused.map(drop),
        }
    }

    pub(super) fn lose(&mut self, reason: &str) {
        self.link = None;
        if !std::mem::replace(&mut self.mourned, true) {
            self.note(&format!("{}: {reason}; trying again", self.unit.manager));
        }
    }

    pub(super) fn link(&self) -> Result<&Link, Trouble> {
        self.link.as_ref().ok_or_else(|| Trouble::Away("there is no connection to it".to_owned()))
    }
}
