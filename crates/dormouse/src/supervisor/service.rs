//! One service that is active, and one whose last sessions drain.

use std::sync::Arc;
use std::time::Duration;

use dormouse_config::model::{Listen, ServiceConfig};
use dormouse_core::plural::counted;
use dormouse_core::timespan::TimeSpan;
use dormouse_log::{Level, Log};
use dormouse_proxy::admission::Admission;
use dormouse_proxy::listener::Listener;
use dormouse_proxy::server::{OpenListener, OpenSessions, sleep_for};
use dormouse_proxy::session::ServiceContext;
use dormouse_proxy::stats::Stats;
use dormouse_proxy::upstream::AdminOverrides;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;

/// A service that accepts clients, and everything that it owns.
#[derive(Debug)]
pub(super) struct ActiveService {
    pub(super) config: ServiceConfig,
    /// The sockets of each configured listener. One passed name may stand for several sockets.
    pub(super) listeners: Vec<Vec<OpenListener>>,
    pub(super) admission: Arc<Admission>,
    pub(super) context: Arc<ServiceContext>,
    pub(super) timer_guard: TimerGuard,
}

/// A task that keeps one timer due before those of the sessions, so that the runtime does not interrupt its wait for
/// the timers of sessions. Dropping the guard ends the task.
#[derive(Debug)]
pub(super) struct TimerGuard(JoinHandle<()>);

impl TimerGuard {
    pub(super) fn start(context: &ServiceContext) -> Self {
        Self(tokio::spawn(context.limits.keep_timer_ahead()))
    }
}

impl Drop for TimerGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the services of the next configuration can take over from a closed one.
#[derive(Debug)]
pub(super) struct PreviousService {
    /// Each configured listener with its sockets.
    pub(super) listeners: Vec<(Listen, Vec<Listener>)>,
    stats: Arc<Stats>,
    /// The settings that an administrator made on its servers.
    overrides: AdminOverrides,
}

impl PreviousService {
    /// Returns the counters and the administrator's settings, for the service of the same name.
    pub(super) fn inherited(&self) -> (Arc<Stats>, AdminOverrides) {
        (Arc::clone(&self.stats), self.overrides.clone())
    }

    /// Takes the sockets of one configured listener.
    pub(super) fn take(&mut self, listener: usize) -> Vec<Listener> {
        self.listeners.get_mut(listener).map(|(_, sockets)| std::mem::take(sockets)).unwrap_or_default()
    }
}

impl ActiveService {
    /// Returns the open sessions.
    pub(super) fn open_sessions(&self) -> OpenSessions {
        OpenSessions { admission: Arc::clone(&self.admission), stats: Arc::clone(&self.context.stats) }
    }

    /// Stops accepting. Returns what another service can take over, and the sessions that go on.
    pub(super) fn close(self) -> (PreviousService, Arc<DrainingService>) {
        let Self { config, listeners, admission, context, timer_guard } = self;
        let sockets = |listeners: Vec<OpenListener>| {
            listeners.into_iter().filter_map(OpenListener::close).collect::<Vec<_>>()
        };
        let overrides = context.service.admin_overrides(&config);
        let listeners = config.listen.into_iter().zip(listeners.into_iter().map(sockets)).collect();
        let previous = PreviousService { listeners, stats: Arc::clone(&context.stats), overrides };
        let draining = DrainingService { name: config.name, admission, context, _timer_guard: timer_guard };
        (previous, Arc::new(draining))
    }
}

/// How often a draining service checks whether each of its sessions has a server.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Sessions that go on under the rules of a configuration that was replaced.
#[derive(Debug)]
pub(super) struct DrainingService {
    name: String,
    admission: Arc<Admission>,
    context: Arc<ServiceContext>,
    _timer_guard: TimerGuard,
}

impl DrainingService {
    /// Waits until the last session has ended. After `timeout` it aborts those that are left.
    pub(super) async fn drain(self: Arc<Self>, timeout: Option<TimeSpan>, log: Log) {
        tokio::select! {
            biased;
            () = self.admission.all_ended() => return,
            () = sleep_or_forever(timeout) => {}
            () = self.retire_when_settled() => {}
        }
        // Lets a session start that was accepted a moment ago: before that it cannot be aborted.
        yield_now().await;
        let ended = self.admission.abort_all();
        self.context.stats.count_aborted(ended);
        if ended > 0 {
            let (name, granted) = (&self.name, timeout.unwrap_or(TimeSpan::ZERO));
            let sessions = counted(ended, "session", "sessions");
            log.line(
                Level::Notice,
                format_args!(
                    "{name}: closed {sessions} from before the reload after {granted} (drain_timeout)."
                ),
            );
        }
        self.admission.all_ended().await;
    }

    /// Returns the open sessions.
    pub(super) fn open_sessions(&self) -> OpenSessions {
        OpenSessions { admission: Arc::clone(&self.admission), stats: Arc::clone(&self.context.stats) }
    }

    /// Retires the service's DNS and health-check tasks once each of its sessions has a server. Never returns.
    async fn retire_when_settled(&self) {
        while self.context.service.established_sessions() < self.admission.open() {
            sleep(CHECK_INTERVAL).await;
        }
        self.context.service.retire();
        std::future::pending::<()>().await;
    }
}

/// Without a timeout the sessions go on until they end by themselves.
async fn sleep_or_forever(timeout: Option<TimeSpan>) {
    match timeout {
        Some(timeout) => sleep_for(timeout).await,
        None => std::future::pending().await,
    }
}
