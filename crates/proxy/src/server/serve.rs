//! Serving: from opening the listeners to the end of the last session.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use dormouse_core::timespan::TimeSpan;
use dormouse_log::{Level, Log};
use dormouse_sys::notify::Notifier;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::accepting::{AcceptTasks, ListenerFailed, OpenListener};
use super::idle::idle_exit;
use super::manager::{begin_drain, extend_stop_timeout, report_drain, report_status, watchdog};
use super::signals::Signals;
use crate::admission::{Admission, FdLimits};
use crate::busy_poll;
use crate::listener::Listener;
use crate::session::ServiceContext;
use crate::stats::Stats;

/// The notification that the start is complete.
pub const READY: &str = "READY=1\nSTATUS=Processing requests...";

/// The time after which the start is over and its memory can be released.
const STARTUP_TIME: Duration = Duration::from_millis(100);

/// A service with its listeners.
#[derive(Debug)]
pub struct ListeningService {
    /// Where clients arrive.
    pub listeners: Vec<Listener>,
    /// The session limit.
    pub admission: Arc<Admission>,
    /// The state that the sessions share.
    pub context: Arc<ServiceContext>,
    /// The target, for the log.
    pub target: String,
    /// Whether to log the listeners at info level.
    pub announce: bool,
}

/// The options of serving.
#[derive(Debug)]
pub struct ServeOptions<'a> {
    /// Exit after this time without a session.
    pub exit_idle_time: Option<Duration>,
    /// How long open sessions may continue after the stop signal.
    pub drain_timeout: TimeSpan,
    /// The sessions of the process.
    pub fd_limits: &'a FdLimits,
    /// The stats that the status shows.
    pub stats: &'a Stats,
    /// The log.
    pub log: &'a Log,
    /// The service manager.
    pub manager: Option<&'a Notifier>,
}

impl ServeOptions<'_> {
    /// Serves until the exit when idle, a stop signal, or the failure of a listener.
    ///
    /// # Errors
    /// When a listener fails or cannot be duplicated; with its name.
    pub async fn serve(
        &self,
        service: ListeningService,
        signals: &mut Signals,
    ) -> Result<DrainEnd, ListenerFailed> {
        let ListeningService { listeners: opened, admission, context, target, announce } = service;
        let (mut accepting, mut listeners) = (AcceptTasks::default(), Vec::new());
        let mut timers = JoinSet::new();
        timers.spawn(context.limits.keep_timer_ahead());
        let level = if announce { Level::Info } else { Level::Debug };
        for listener in opened {
            let name = listener.to_string();
            self.log.line(level, format_args!("Listening on {name} for {target}."));
            let accept_socket = listener.accept_socket().map_err(|error| ListenerFailed { name, error })?;
            listeners.push(accepting.open(
                listener,
                accept_socket,
                Arc::clone(&admission),
                Arc::clone(&context),
            ));
        }
        let _background = background();
        if let Some(manager) = self.manager {
            manager.send_blocking(READY);
        }
        let reason = tokio::select! {
            () = self.until_idle(&listeners) => StopReason::Idle,
            () = signals.next() => StopReason::Signalled,
            failed = accepting.failed() => StopReason::Failed(failed),
            () = report_status(self.manager, self.stats) => StopReason::Idle,
            () = watchdog(self.manager) => StopReason::Idle,
        };
        self.stats.begin_shutdown();
        // New clients wait in the service manager's socket.
        drop(listeners);
        accepting.shutdown().await;
        match reason {
            StopReason::Idle => Ok(DrainEnd::Completed),
            StopReason::Signalled => {
                Ok(drain(self.drain_timeout, self.fd_limits, self.manager, signals).await)
            }
            StopReason::Failed(failed) => Err(failed),
        }
    }

    /// Waits until the process is idle and no client is in a backlog.
    async fn until_idle(&self, listeners: &[OpenListener]) {
        loop {
            idle_exit(self.exit_idle_time, self.fd_limits).await;
            if !has_pending_client(listeners) {
                return;
            }
            // The accept loops take the client, and the idle time starts again.
        }
    }
}

/// Starts the background tasks, which end when the set is dropped.
pub fn background() -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(busy_poll::run());
    tasks.spawn(dormouse_relay::socket_reuse::close_unused());
    tasks.spawn(async {
        sleep(STARTUP_TIME).await;
        dormouse_sys::code_pages::release();
    });
    tasks
}

/// Waits for open sessions until the timeout or the next signal.
pub async fn drain(
    limit: TimeSpan,
    fd_limits: &FdLimits,
    manager: Option<&Notifier>,
    signals: &mut Signals,
) -> DrainEnd {
    let open = fd_limits.open();
    if limit.is_zero() || open == 0 {
        return DrainEnd::Completed;
    }
    begin_drain(manager, open);
    let ended = async {
        while fd_limits.open() > 0 {
            fd_limits.became_idle().await;
        }
    };
    tokio::select! {
        () = ended => DrainEnd::Completed,
        () = sleep_for(limit) => DrainEnd::Completed,
        () = signals.next() => DrainEnd::Interrupted,
        () = watchdog(manager) => DrainEnd::Completed,
        () = report_drain(manager, fd_limits, open) => DrainEnd::Completed,
        () = extend_stop_timeout(manager, limit.finite().unwrap_or(Duration::MAX)) => DrainEnd::Completed,
    }
}

/// The open sessions of a service, and its stats.
#[derive(Debug)]
pub struct OpenSessions {
    /// The admission that tracks the sessions.
    pub admission: Arc<Admission>,
    /// The stats of the service.
    pub stats: Arc<Stats>,
}

/// The time in which aborted sessions end.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Aborts the open sessions, so that each gets its line in the access log. Without an access log they end with the
/// process.
pub async fn end_sessions(open_sessions: Vec<OpenSessions>, fd_limits: &FdLimits, log: &Log) {
    if !log.logs_sessions() || fd_limits.open() == 0 {
        return;
    }
    // A separate task runs after those of clients that were just admitted.
    let ending = tokio::spawn(async move {
        for OpenSessions { admission, stats } in open_sessions {
            stats.count_aborted(admission.abort_all());
        }
    });
    let ended = async {
        let _ = ending.await;
        while fd_limits.open() > 0 {
            fd_limits.became_idle().await;
        }
    };
    // A session that does not end in time gets no line.
    let _ = timeout(ABORT_TIMEOUT, ended).await;
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainEnd {
    /// The sessions ended, or the timeout passed.
    Completed,
    /// Another signal came: exit at once.
    Interrupted,
}

/// Why serving stops.
enum StopReason {
    Idle,
    Signalled,
    Failed(ListenerFailed),
}

fn has_pending_client(listeners: &[OpenListener]) -> bool {
    let listeners = listeners.iter().filter_map(OpenListener::listener);
    let mut polled: Vec<PollFd<'_>> = listeners
        .map(|listener| PollFd::from_borrowed_fd(listener.socket().as_fd(), PollFlags::IN))
        .collect();
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

/// Sleeps for a span; forever if it is infinite.
pub async fn sleep_for(span: TimeSpan) {
    match span.finite().and_then(|span| Instant::now().checked_add(span)) {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
