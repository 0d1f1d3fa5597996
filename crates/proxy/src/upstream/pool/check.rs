//! The task that checks one server.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_config::model::CheckConfig;
use dormouse_core::pool::{CheckResult, Health};
use tokio::time::{sleep, sleep_until, timeout};

use super::{LastCheck, Pool};
use crate::connect::path_watch::PathWatch;
use crate::connect::{OnRefused, Route};
use crate::upstream::ready::exchange;
use crate::upstream::sleeper::Sleeper;

/// A server that is checked.
pub(in crate::upstream) struct Checker {
    pub(in crate::upstream) pool: Arc<Pool>,
    pub(in crate::upstream) server: usize,
    pub(in crate::upstream) route: Arc<Route>,
    pub(in crate::upstream) sleeper: Option<Arc<Sleeper>>,
    pub(in crate::upstream) check: CheckConfig,
}

/// A socket's name appears before somebody listens on it: so many looks follow at short intervals.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

impl Checker {
    /// Checks. Never ends.
    pub(in crate::upstream) async fn run(self) {
        let path = self.route.path();
        let mut watch = path.and_then(PathWatch::new);
        loop {
            let due = self.pool.arm_check(self.server);
            let mut stirred = false;
            tokio::select! {
                () = at(due) => {}
                () = self.nudge() => continue,
                () = changed(&mut watch) => stirred = true,
            }
            if stirred && self.is_awake() {
                let began = Instant::now();
                if self.finds_listener(path).await {
                    self.pool.checked(self.server, Ok(()), began);
                } else {
                    self.pool.suspect(self.server);
                }
                continue;
            }
            if self.is_awake() {
                let began = Instant::now();
                let found = self.look().await;
                if self.is_awake() {
                    self.pool.checked(self.server, found, began);
                    continue;
                }
            }
            self.pool.asleep(self.server);
        }
    }

    async fn nudge(&self) {
        match self.pool.slots.get(self.server) {
            Some(slot) => slot.nudge.notified().await,
            None => std::future::pending().await,
        }
    }

    fn is_awake(&self) -> bool {
        self.sleeper.as_ref().is_none_or(|sleeper| sleeper.is_up())
    }

    /// Looks for somebody who listens, and gives who has just made the socket the time to do so.
    async fn finds_listener(&self, path: Option<&Path>) -> bool {
        for _ in 0..LOOKS {
            if !path.is_some_and(Path::exists) {
                return false;
            }
            if self.look().await.is_ok() {
                return true;
            }
            sleep(BETWEEN_LOOKS).await;
        }
        false
    }

    /// One check. What it says is why it failed, or could not be made.
    async fn look(&self) -> Result<(), (CheckResult, String)> {
        let looked = timeout(self.check.timeout, async {
            let server = self.route.connect(false, OnRefused::GiveUp).await.map_err(|error| {
                let neither = error.is_local_limit() || error.is_busy();
                (if neither { CheckResult::Inconclusive } else { CheckResult::Failed }, error.to_string())
            })?;
            if self.check.expect.is_empty() && self.check.send.is_empty() {
                return Ok(());
            }
            if exchange(server, &self.check.send, &self.check.expect).await {
                Ok(())
            } else {
                Err((CheckResult::Failed, "it did not answer a check as expected".to_owned()))
            }
        });
        looked.await.unwrap_or_else(|_| {
            let waited = self.check.timeout.as_secs_f64();
            let missed = if self.check.expect.is_empty() {
                "it took no connection"
            } else {
                "it did not answer a check as expected"
            };
            Err((CheckResult::Failed, format!("{missed} within {waited} s")))
        })
    }
}

impl Pool {
    /// When the next check of a server is due; whoever makes it due sooner nudges.
    fn arm_check(&self, server: usize) -> Option<Instant> {
        let mut inner = self.lock();
        let due = inner.machine.next_check(server);
        if let Some(armed) = inner.armed.get_mut(server) {
            *armed = due;
        }
        due
    }

    fn checked(&self, server: usize, found: Result<(), (CheckResult, String)>, began: Instant) {
        let (finding, text) = found.err().unwrap_or((CheckResult::Passed, String::new()));
        let last = LastCheck { at: began, took: began.elapsed(), finding, text: text.clone() };
        {
            let mut inner = self.lock();
            let since = inner.machine.members().get(server).map(|member| member.health().since());
            // It was about who stood there before.
            if since.is_none_or(|since| began < since) {
                return;
            }
            if let Some(place) = inner.last_checks.get_mut(server) {
                *place = Some(last);
            }
        }
        self.change(server, &text, |health, now| health.record_check(now, finding));
    }

    fn suspect(&self, server: usize) {
        self.change(server, "", |health, now| {
            health.expedite_check(now);
            None
        });
    }

    fn asleep(&self, server: usize) {
        self.change(server, "it sleeps", Health::mark_asleep);
    }
}

async fn changed(watch: &mut Option<PathWatch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
