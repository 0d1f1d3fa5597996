//! One service that is being served, and one that is on its way out.

use std::sync::Arc;
use std::time::Duration;

use dormouse_config::model::{Listen, ServiceConfig};
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

/// A service and all that is its own.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) config: ServiceConfig,
    /// For each of its listeners the sockets; a passed name may stand for several.
    pub(super) listeners: Vec<Vec<OpenListener>>,
    pub(super) admission: Arc<Admission>,
    pub(super) shared: Arc<ServiceContext>,
    pub(super) ahead: Ahead,
}

/// The task that keeps a timer ahead of those of the sessions. It ends with this.
#[derive(Debug)]
pub(super) struct Ahead(JoinHandle<()>);

impl Ahead {
    pub(super) fn of(shared: &ServiceContext) -> Self {
        Self(tokio::spawn(shared.limits.keep_timer_ahead()))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What others can have of a service that has ended.
#[derive(Debug)]
pub(super) struct Former {
    /// As what they were configured, and the sockets.
    pub(super) listeners: Vec<(Listen, Vec<Listener>)>,
    stats: Arc<Stats>,
    /// What an administrator has said of its servers.
    overrides: AdminOverrides,
}

impl Former {
    /// What the service that follows goes on with.
    pub(super) fn legacy(&self) -> (Arc<Stats>, AdminOverrides) {
        (Arc::clone(&self.stats), self.overrides.clone())
    }

    /// The sockets of one of its listeners.
    pub(super) fn take(&mut self, listener: usize) -> Vec<Listener> {
        self.listeners.get_mut(listener).map(|(_, sockets)| std::mem::take(sockets)).unwrap_or_default()
    }
}

impl Standing {
    /// Its sessions.
    pub(super) fn guests(&self) -> OpenSessions {
        OpenSessions { admission: Arc::clone(&self.admission), stats: Arc::clone(&self.shared.stats) }
    }

    /// Lets nobody in any more. Gives what others can have of it, and what is left of it.
    pub(super) fn close(self) -> (Former, Arc<Leaving>) {
        let Self { config, listeners, admission, shared, ahead } = self;
        let sockets = |listeners: Vec<OpenListener>| {
            listeners.into_iter().filter_map(OpenListener::close).collect::<Vec<_>>()
        };
        let overrides = shared.service.admin_overrides(&config);
        let listeners = config.listen.into_iter().zip(listeners.into_iter().map(sockets)).collect();
        let former = Former { listeners, stats: Arc::clone(&shared.stats), overrides };
        (former, Arc::new(Leaving { name: config.name, admission, shared, _ahead: ahead }))
    }
}

/// Where somebody has no server yet, it is looked again so often.
const LOOK: Duration = Duration::from_secs(1);

/// Sessions that go on under rules that are no more.
#[derive(Debug)]
pub(super) struct Leaving {
    name: String,
    admission: Arc<Admission>,
    shared: Arc<ServiceContext>,
    _ahead: Ahead,
}

impl Leaving {
    /// Waits for the sessions' end for as long as is granted, then ends them.
    pub(super) async fn leave(self: Arc<Self>, granted: Option<TimeSpan>, log: Log) {
        tokio::select! {
            biased;
            () = self.admission.all_ended() => return,
            () = granted_over(granted) => {}
            () = self.look_on() => {}
        }
        // Who was let in a moment ago has begun by then.
        yield_now().await;
        let ended = self.admission.abort_all();
        self.shared.stats.count_aborted(ended);
        if ended > 0 {
            let (name, granted) = (&self.name, granted.unwrap_or(TimeSpan::ZERO));
            let sessions = if ended == 1 { "session" } else { "sessions" };
            let were = if ended == 1 { "was" } else { "were" };
            log.line(
                Level::Notice,
                format_args!(
                    "{name}: {ended} {sessions} from before the reload {were} ended after {granted} (drain_timeout)."
                ),
            );
        }
        self.admission.all_ended().await;
    }

    /// The sessions.
    pub(super) fn guests(&self) -> OpenSessions {
        OpenSessions { admission: Arc::clone(&self.admission), stats: Arc::clone(&self.shared.stats) }
    }

    /// Has the service look after its servers until nobody needs one any more. Never ends.
    async fn look_on(&self) {
        while self.shared.service.established_sessions() < self.admission.open() {
            sleep(LOOK).await;
        }
        self.shared.service.retire();
        std::future::pending::<()>().await;
    }
}

/// Without a limit sessions go on until they end by themselves.
async fn granted_over(granted: Option<TimeSpan>) {
    match granted {
        Some(granted) => sleep_for(granted).await,
        None => std::future::pending().await,
    }
}
