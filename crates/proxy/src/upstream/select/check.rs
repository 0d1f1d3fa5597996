//! The task that checks the health of one server.

use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_config::model::CheckConfig;
use dormouse_core::pool::CheckResult;
use dormouse_relay::Stream;
use dormouse_sys::event_loop::sleep_until;
use tokio::time::{sleep, timeout};

use super::Pool;
use crate::upstream::exchange::exchange;
use crate::upstream::wakeable::{NotTheServer, WakeableServer};
use dormouse_connect::path_watch::PathWatch;
use dormouse_connect::{OnRefused, Route};

/// What the task needs to check one server.
pub(in crate::upstream) struct HealthChecker {
    pub(in crate::upstream) pool: Arc<Pool>,
    pub(in crate::upstream) server: usize,
    pub(in crate::upstream) route: Arc<Route>,
    pub(in crate::upstream) wakeable: Option<Arc<WakeableServer>>,
    pub(in crate::upstream) check: CheckConfig,
}

/// The number of checks after a socket's path has changed. The path appears before the server listens.
const PATH_CHECKS: u32 = 10;
const PATH_CHECK_INTERVAL: Duration = Duration::from_millis(2);

impl HealthChecker {
    /// Checks the server for ever. A server that sleeps is not checked.
    pub(in crate::upstream) async fn run(self) {
        let path = self.route.path();
        let mut watch = path.and_then(PathWatch::new);
        loop {
            let due = self.pool.arm_check(self.server);
            let mut path_changed = false;
            tokio::select! {
                () = sleep_until(due.map(Into::into)) => {}
                () = self.rescheduled() => continue,
                () = changed(&mut watch) => path_changed = true,
            }
            if path_changed && self.is_awake() {
                let began = Instant::now();
                if self.finds_listener(path).await {
                    self.pool.record_check(self.server, CheckResult::Passed, "", began);
                } else {
                    self.pool.expedite_check(self.server);
                }
                continue;
            }
            if self.is_awake() {
                let began = Instant::now();
                let (result, reason) =
                    self.check().await.err().unwrap_or((CheckResult::Passed, String::new()));
                // A server that fell asleep meanwhile was not checked.
                if self.is_awake() {
                    self.pool.record_check(self.server, result, &reason, began);
                    continue;
                }
            }
            self.pool.mark_asleep(self.server);
        }
    }

    async fn rescheduled(&self) {
        match self.pool.servers.get(self.server) {
            Some(server) => server.check_rescheduled.notified().await,
            None => pending().await,
        }
    }

    fn is_awake(&self) -> bool {
        self.wakeable.as_ref().is_none_or(|wakeable| wakeable.is_up())
    }

    /// Returns whether a server listens at the path. A server that has just made the socket gets the time to listen.
    async fn finds_listener(&self, path: Option<&Path>) -> bool {
        for _ in 0..PATH_CHECKS {
            if !path.is_some_and(Path::exists) {
                return false;
            }
            if self.check().await.is_ok() {
                return true;
            }
            sleep(PATH_CHECK_INTERVAL).await;
        }
        false
    }

    /// Makes one check.
    ///
    /// # Errors
    /// The result, and why the check failed or was not possible.
    async fn check(&self) -> Result<(), (CheckResult, String)> {
        let checked = timeout(self.check.timeout, async {
            let server = self.route.connect(false, OnRefused::GiveUp).await.map_err(|error| {
                let inconclusive = error.is_local_limit() || error.is_busy();
                let result = if inconclusive { CheckResult::Inconclusive } else { CheckResult::Failed };
                (result, error.to_string())
            })?;
            let server = self.of_the_workload(server).await?;
            if self.check.expect.is_empty() && self.check.send.is_empty() {
                return Ok(());
            }
            if exchange(server, &self.check.send, &self.check.expect).await {
                Ok(())
            } else {
                Err((CheckResult::Failed, "the health check did not get the expected answer".to_owned()))
            }
        });
        checked.await.unwrap_or_else(|_| {
            let waited = self.check.timeout.as_secs_f64();
            let missed = if self.check.expect.is_empty() {
                "the connection was not established"
            } else {
                "the health check did not get the expected answer"
            };
            Err((CheckResult::Failed, format!("{missed} within {waited} s")))
        })
    }

    /// Returns a connection that leads to the workload, where dormouse starts it. What the check sends may be a secret.
    async fn of_the_workload(&self, server: Stream) -> Result<Stream, (CheckResult, String)> {
        let Some(wakeable) = &self.wakeable else { return Ok(server) };
        match wakeable.check_connection(server, &self.route.take_refused()).await {
            Ok(server) => Ok(server),
            Err(NotTheServer::Stranger(peer)) => {
                if let Some(peer) = peer {
                    self.route.avoid(&peer).await;
                }
                Err((CheckResult::Failed, "another program listens at the server's address".to_owned()))
            }
            Err(NotTheServer::Inconclusive) => {
                Err((CheckResult::Failed, "the connection ended at once".to_owned()))
            }
        }
    }
}

async fn changed(watch: &mut Option<PathWatch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => pending().await,
    }
}
