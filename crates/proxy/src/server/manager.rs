//! Notifications to the service manager.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dormouse_core::plural::counted;
use dormouse_log::Escaped;
use dormouse_sys::notify::Notifier;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::admission::FdLimits;
use crate::stats::Stats;

/// The minimum time between two `STATUS=` notifications.
const STATUS_PERIOD: Duration = Duration::from_secs(1);

/// The time that one request extends the stop timeout by. The manager notices a hang within it.
const EXTENSION: Duration = Duration::from_secs(10);
/// The time between the end of the last session and the exit.
const MARGIN: Duration = Duration::from_secs(5);

/// Sends the totals whenever they change. Never returns.
pub async fn report_status(manager: Option<&Notifier>, stats: &Stats) {
    report_status_and(manager, stats, &StatusNote::default()).await;
}

/// Sends the totals and a note whenever they change. Never returns.
pub async fn report_status_and(manager: Option<&Notifier>, stats: &Stats, note: &StatusNote) {
    let Some(manager) = manager else { return std::future::pending().await };
    let mut sent = None;
    let mut delivered = true;
    loop {
        tokio::select! {
            () = stats.changed() => {}
            () = note.changed.notified() => sent = None,
            // The manager's queue was full: try again.
            () = std::future::ready(()), if !delivered => {}
        }
        let totals = stats.totals();
        if sent != Some(totals) {
            delivered = manager.try_send(&format!("STATUS=Processing requests... {totals}{}", note.text()));
            sent = delivered.then_some(totals);
            sleep(STATUS_PERIOD).await;
        }
    }
}

/// Notifies the manager of the stop and of the number of open sessions.
pub fn begin_drain(manager: Option<&Notifier>, open: usize) {
    if let Some(manager) = manager {
        manager.send_blocking(&format!("STOPPING=1\nSTATUS={}", Left(open)));
    }
}

/// Sends the number of open sessions whenever it changes. Never returns.
pub async fn report_drain(manager: Option<&Notifier>, fd_limits: &FdLimits, mut sent: usize) {
    let Some(manager) = manager else { return std::future::pending().await };
    loop {
        sleep(STATUS_PERIOD).await;
        let left = fd_limits.open();
        if left != sent && manager.try_send(&format!("STATUS={}", Left(left))) {
            sent = left;
        }
    }
}

/// The number of open sessions, as a status text.
struct Left(usize);

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = counted(self.0, "open connection", "open connections");
        write!(f, "Waiting for {connections} to end...")
    }
}

/// Extends `TimeoutStopSec=` repeatedly, up to `longest`. Never returns.
pub async fn extend_stop_timeout(manager: Option<&Notifier>, longest: Duration) {
    let Some(manager) = manager else { return std::future::pending().await };
    let mut ticks = interval(EXTENSION / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let since = ticks.tick().await;
    loop {
        let left = longest.saturating_sub(since.elapsed());
        let asked = left.min(EXTENSION) + MARGIN;
        manager.try_send(&format!("EXTEND_TIMEOUT_USEC={}", asked.as_micros()));
        if left.is_zero() {
            return std::future::pending().await;
        }
        ticks.tick().await;
    }
}

/// A note that follows the totals in the status.
#[derive(Debug, Default)]
pub struct StatusNote {
    text: Mutex<String>,
    changed: Notify,
}

impl StatusNote {
    /// Sets the note; an empty text removes it. Only the first line is kept, because a line break would end the status.
    pub fn set(&self, text: &str) {
        let line = text.lines().next().unwrap_or_default();
        let line = if line.is_empty() { String::new() } else { format!("; {}", Escaped(line)) };
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = line;
        self.changed.notify_one();
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Notifies the watchdog of the manager, twice in each `WATCHDOG_USEC`. Never returns.
pub async fn watchdog(manager: Option<&Notifier>) {
    let (Some(manager), Some(granted)) = (manager, granted()) else { return std::future::pending().await };
    let mut ticks = interval(granted / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        manager.try_send("WATCHDOG=1");
    }
}

/// Returns the watchdog timeout, if the watchdog is enabled for this process.
fn granted() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let granted = number("WATCHDOG_USEC").filter(|granted| *granted > 1)?;
    let meant = std::env::var_os("WATCHDOG_PID")
        .is_none_or(|_| number("WATCHDOG_PID") == Some(std::process::id().into()));
    meant.then(|| Duration::from_micros(granted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_log::Log;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn a_status_is_sent_again_after_a_full_queue() {
        let name = format!("dormouse-test-status-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        manager.set_nonblocking(true).unwrap();
        let notifier = Notifier::to(&format!("@{name}").into()).unwrap();
        while notifier.try_send("STATUS=busy") {}
        let delivered = || -> Vec<String> {
            let mut room = [0; 200];
            let delivered =
                std::iter::from_fn(|| manager.recv(&mut room).ok().map(|length| room[..length].to_vec()));
            delivered
                .map(|state| String::from_utf8(state).unwrap())
                .filter(|state| state != "STATUS=busy")
                .collect()
        };

        let (stats, note) = (Stats::new(Log::new(None)), StatusNote::default());
        let mut report = Box::pin(report_status_and(Some(&notifier), &stats, &note));
        note.set("look here");
        assert!(timeout(STATUS_PERIOD * 3, &mut report).await.is_err());
        assert_eq!(delivered(), [""; 0]);
        assert!(timeout(STATUS_PERIOD * 3, &mut report).await.is_err());
        let said = delivered();
        assert!(said.len() == 1 && said[0].ends_with("; look here"), "{said:?}");
    }
}
