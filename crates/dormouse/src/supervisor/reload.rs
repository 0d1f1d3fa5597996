//! SIGHUP: loads the configuration again, checks all of it, and applies all of it or nothing.

use std::sync::Arc;
use std::time::Duration;

use dormouse_config::model::Config;
use dormouse_log::{Escaped, Level};
use dormouse_proxy::server::{HangupSignals, StatusNote};
use dormouse_sys::blocking::{self, BlockingTask};
use dormouse_sys::notify::Notifier;
use tokio::time::{Instant, timeout_at};

use super::state::Supervisor;

/// Loads the configuration. It runs in a thread of its own, because files may be slow.
pub type ConfigLoader = Arc<dyn Fn() -> LoadedConfig + Send + Sync>;

/// The result of loading the configuration.
#[derive(Debug, Clone)]
pub struct LoadedConfig {
    /// The configuration, or why it is not applied.
    pub result: Result<Config, NotApplied>,
    /// Warnings that do not prevent the reload.
    pub warnings: Vec<String>,
}

/// Why a configuration is not applied.
#[derive(Debug, Clone)]
pub enum NotApplied {
    /// All problems in it, one line each.
    Wrong(String),
    /// It is valid, and needs what this process has given up at its start: one line each.
    NeedsRestart(String),
}

/// A load that takes longer counts as failed: the file system hangs.
const LOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The reloads of one process.
pub(super) struct Reload<'a> {
    reloads: Option<(ConfigLoader, HangupSignals)>,
    manager: Option<&'a Notifier>,
    /// The note in the status line of the service manager.
    note: &'a StatusNote,
    /// The load that is running, with its deadline.
    loading: Option<(BlockingTask<LoadedConfig>, Instant)>,
}

impl<'a> Reload<'a> {
    pub(super) fn new(
        reloads: Option<(ConfigLoader, HangupSignals)>,
        manager: Option<&'a Notifier>,
        note: &'a StatusNote,
    ) -> Self {
        Self { reloads, manager, note, loading: None }
    }

    /// Waits for SIGHUP, then loads the configuration. This is cancel safe.
    pub(super) async fn next(&mut self) -> LoadedConfig {
        let Some((load, hangups)) = &mut self.reloads else { return std::future::pending().await };
        if self.loading.is_none() {
            hangups.next().await;
            if let Some(manager) = self.manager {
                manager.send_blocking(&reloading());
            }
        }
        let (loading, deadline) = self.loading.get_or_insert_with(|| {
            let load = Arc::clone(load);
            (blocking::spawn("reload", move || load()), Instant::now() + LOAD_TIMEOUT)
        });
        let failed =
            |reason: String| LoadedConfig { result: Err(NotApplied::Wrong(reason)), warnings: Vec::new() };
        let loaded = match timeout_at(*deadline, loading.result()).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(error)) => failed(format!("cannot read it: {error}")),
            Err(_) => failed(format!(
                "it could not be read within {} s; check its file system",
                LOAD_TIMEOUT.as_secs()
            )),
        };
        self.loading = None;
        loaded
    }

    /// Applies a loaded configuration, logs the outcome, and reports the end of the reload to the service manager.
    pub(super) async fn finish(&mut self, loaded: LoadedConfig, supervisor: &mut Supervisor) {
        let log = supervisor.log.clone();
        for warning in &loaded.warnings {
            log.escaped_line(Level::Warning, warning);
        }
        let applied = match loaded.result {
            Ok(config) => {
                let applied = supervisor.apply(config).await;
                applied.map_err(|error| NotApplied::Wrong(Escaped(error).to_string()))
            }
            Err(not_applied) => Err(not_applied),
        };
        match applied {
            Ok(changes) => {
                log.line(Level::Info, format_args!("The configuration was reloaded: {changes}."));
                self.note.set("");
            }
            Err(not_applied) => {
                let (problems, remedy) = match &not_applied {
                    NotApplied::Wrong(problems) => (problems, "Correct it and reload again."),
                    NotApplied::NeedsRestart(needs) => (needs, "Restart dormouse to apply it."),
                };
                for problem in problems.lines() {
                    log.escaped_line(Level::Err, problem);
                }
                log.line(
                    Level::Err,
                    format_args!("The configuration was not reloaded and nothing has changed. {remedy}"),
                );
                self.note.set(&format!("the configuration was not reloaded: {problems}"));
            }
        }
        if let Some(manager) = self.manager {
            manager.send_blocking("READY=1");
        }
    }
}

/// The message that `Type=notify-reload` requires. Its time tells this reload from an earlier one (`sd_notify(3)`).
fn reloading() -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=Reloading the configuration...")
}
