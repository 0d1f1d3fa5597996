//! SIGHUP: the configuration is read anew, checked whole, and put into effect or not at all.

use std::sync::Arc;
use std::time::Duration;

use dormouse_config::model::Config;
use dormouse_log::Level;
use dormouse_proxy::server::{HangupSignals, StatusNote};
use dormouse_sys::blocking::{self, BlockingTask};
use dormouse_sys::notify::Notifier;
use tokio::time::{Instant, timeout_at};

use super::serving::Serving;

/// Gives the configuration as it is now. It is called in a thread of its own, since files may be slow.
pub type Read = Arc<dyn Fn() -> Reread + Send + Sync>;

/// What came of reading the configuration anew.
#[derive(Debug, Clone)]
pub struct Reread {
    /// The configuration, or all that is wrong, a line each.
    pub result: Result<Config, String>,
    /// What somebody should look at.
    pub warnings: Vec<String>,
}

/// A file system that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is read anew, and when.
pub(super) struct Reload<'a> {
    rereads: Option<(Read, HangupSignals)>,
    manager: Option<&'a Notifier>,
    remark: &'a StatusNote,
    /// It is being read.
    reading: Option<(BlockingTask<Reread>, Instant)>,
}

impl<'a> Reload<'a> {
    pub(super) fn new(
        rereads: Option<(Read, HangupSignals)>,
        manager: Option<&'a Notifier>,
        remark: &'a StatusNote,
    ) -> Self {
        Self { rereads, manager, remark, reading: None }
    }

    /// Waits for SIGHUP, then rereads. Nothing is lost when this is given up and called again.
    pub(super) async fn next(&mut self) -> Reread {
        let Some((read, hangups)) = &mut self.rereads else { return std::future::pending().await };
        if self.reading.is_none() {
            hangups.next().await;
            if let Some(manager) = self.manager {
                manager.send_blocking(&reloading());
            }
        }
        let (reading, deadline) = self.reading.get_or_insert_with(|| {
            let read = Arc::clone(read);
            (blocking::spawn("reload", move || read()), Instant::now() + PATIENCE)
        });
        let failed = |reason: String| Reread { result: Err(reason), warnings: Vec::new() };
        let found = match timeout_at(*deadline, reading.result()).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => failed(format!("reading it failed: {error}")),
            Err(_) => failed(format!(
                "it could not be read within {} s; see what its file system does",
                PATIENCE.as_secs()
            )),
        };
        self.reading = None;
        found
    }

    /// Puts into effect what was found, if nothing is wrong with it.
    pub(super) async fn finish(&mut self, found: Reread, serving: &mut Serving) {
        let log = serving.log.clone();
        for warning in &found.warnings {
            log.line(Level::Warning, format_args!("{warning}"));
        }
        let turned = match found.result {
            Ok(config) => serving.turn_to(config).await.map_err(|error| error.to_string()),
            Err(problems) => Err(problems),
        };
        match turned {
            Ok(changes) => {
                log.line(Level::Info, format_args!("The configuration was reloaded: {changes}."));
                self.remark.set("");
            }
            Err(problems) => {
                for problem in problems.lines() {
                    log.line(Level::Err, format_args!("{problem}"));
                }
                log.line(
                    Level::Err,
                    format_args!(
                        "The configuration was not reloaded, nothing has changed. Mend it, and reload again."
                    ),
                );
                self.remark.set(&format!("the configuration was not reloaded: {problems}"));
            }
        }
        if let Some(manager) = self.manager {
            manager.send_blocking("READY=1");
        }
    }
}

/// What `Type=notify-reload` waits for, with the time that tells it from an older one (`sd_notify(3)`).
fn reloading() -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=Reloading the configuration...")
}
