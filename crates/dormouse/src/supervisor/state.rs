//! The services that are being served, with everything that they share.

use std::sync::{Arc, Weak};
use std::time::Duration;

use dormouse_config::model::{Config, ServiceConfig, Spelling};
use dormouse_core::plural::counted;
use dormouse_core::timespan::TimeSpan;
use dormouse_log::{Level, Log};
use dormouse_proxy::admission::{FdLimits, FdReservation, raise_fd_limit};
use dormouse_proxy::listener::{self, Listener, PassedFds};
use dormouse_proxy::server::{AcceptTasks, ListenerFailed, OpenListener, OpenSessions};
use dormouse_proxy::stats::Stats;
use dormouse_proxy::upstream::Registry;
use dormouse_relay::Pipes;
use dormouse_sys::notify::Notifier;
use tokio::task::JoinSet;

use super::RunError;
use super::fd_store::{FdStore, StoredListeners};
use super::service::{ActiveService, DrainingService};
use super::sockets::Sockets;
use super::wake_state::WakeState;
use crate::admin::{self, AdminListeners, Running};

/// The services, and what they share.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// The configuration that is in effect.
    pub(super) config: Config,
    /// The services of that configuration, in its order.
    pub(super) active: Vec<ActiveService>,
    /// One task for each service that only drains.
    pub(super) drain_tasks: JoinSet<()>,
    pub(super) draining: Vec<Weak<DrainingService>>,
    pub(super) accepting: AcceptTasks,
    pub(super) registry: Registry,
    pub(super) sockets: Sockets,
    pub(super) fd_limits: Arc<FdLimits>,
    pub(super) pipes: Arc<Pipes>,
    pub(super) stats: Arc<Stats>,
    /// The service manager's descriptor store, in which listeners outlive this process.
    pub(super) fd_store: Option<FdStore>,
    wake_state: WakeState,
    /// The view of the services that admin clients read.
    pub(super) running: Arc<Running>,
    pub(super) admin_listeners: AdminListeners,
    pub(super) log: Log,
}

impl Supervisor {
    /// Returns a supervisor without services. It takes the passed sockets and the saved wake state.
    ///
    /// # Errors
    /// When the passed sockets cannot be used.
    pub(super) fn new(
        config: &Config,
        passed: PassedFds,
        manager: Option<Notifier>,
        log: &Log,
    ) -> Result<Self, RunError> {
        let mut passed = passed.map_err(|error| RunError::Passed(error.into()))?;
        listener::warn_of_left_out(&passed.left_out, log);
        let (stored, saved) = StoredListeners::split_off(&mut passed.fds);
        let mut fd_store = manager.and_then(FdStore::from_env);
        if let Some(store) = &mut fd_store {
            store.set_stored(&stored);
        }
        let (wake_state, woken) = WakeState::open(saved, fd_store.as_mut(), log);
        let mut registry = Registry::default();
        registry.restore(woken);
        let listeners = config.services.iter().map(|service| service.listen.len()).sum();
        let reservation =
            FdReservation { listeners, activators: wakeable_servers(&config.services), admin_clients: 0 };
        let budget = raise_fd_limit(max_sessions(config), reservation);
        let stats = Arc::new(Stats::new(log.clone()));
        let fd_limits = FdLimits::new(budget.sessions);
        let running = Running::new(Arc::clone(&stats), Arc::clone(&fd_limits), log.clone());
        Ok(Self {
            config: Config { services: Vec::new(), ..config.clone() },
            active: Vec::new(),
            drain_tasks: JoinSet::new(),
            draining: Vec::new(),
            accepting: AcceptTasks::default(),
            registry,
            sockets: Sockets::new(passed.fds, stored)?,
            fd_limits,
            pipes: Pipes::new(budget.pipes),
            stats,
            fd_store,
            wake_state,
            running,
            admin_listeners: AdminListeners::default(),
            log: log.clone(),
        })
    }

    /// Returns the names of all listeners.
    pub(super) fn listener_names(&self) -> Vec<String> {
        let listeners = self.active.iter().flat_map(|service| service.listeners.iter().flatten());
        listeners.filter_map(|listener| listener.listener().map(ToString::to_string)).collect()
    }

    /// Shows admin clients what is served now.
    pub(super) fn publish(&self) {
        let services = self.active.iter().map(|service| {
            let listeners = service.listeners.iter().flatten().filter_map(OpenListener::listener);
            let listen = listeners.map(ToString::to_string).collect();
            admin::RunningService::new(&service.config, listen, &service.admission, &service.context)
        });
        self.running.replace(services.collect());
    }

    /// Raises the descriptor limit for the sessions of all services, draining ones included. Logs how many sessions fit
    /// where the limit is too low.
    pub(super) fn reserve_fds(&self) {
        let listeners = self.active.iter().flat_map(|service| &service.listeners).map(Vec::len).sum();
        let wakers = wakeable_servers(self.active.iter().map(|service| &service.config));
        let reservation = FdReservation {
            listeners,
            activators: wakers,
            admin_clients: self.admin_listeners.descriptors(),
        };
        self.running.set_fd_reservation(reservation);
        let needed = self.fd_limits.sessions_wanted(self.active.iter().map(|service| &service.admission));
        let budget = raise_fd_limit(needed, reservation);
        self.fd_limits.resize(budget.sessions);
        if budget.sessions < usize::try_from(needed).unwrap_or(usize::MAX) {
            let spelling = self.active.first().map_or(Spelling::Keys, |service| service.config.spelling);
            let maxconn = spelling.call("maxconn");
            self.log.line(
                Level::Notice,
                format_args!(
                    "The limit of {} descriptors is enough for {} of {needed} sessions ({maxconn}); further clients \
                     wait in the backlog. Raise LimitNOFILE= or lower {maxconn}.",
                    budget.limit, budget.sessions
                ),
            );
        }
    }

    /// Waits until a listener fails. Until then it saves each change of the wake state, and stops a workload that no
    /// service uses once the last draining session has left it.
    pub(super) async fn watch(&mut self) -> ListenerFailed {
        loop {
            tokio::select! {
                failed = self.accepting.failed() => return failed,
                Some(_) = self.drain_tasks.join_next() => {
                    // All that have ended at once, because the registry may be large.
                    while self.drain_tasks.try_join_next().is_some() {}
                    self.registry.remove_unused();
                }
                () = self.registry.changed() => self.wake_state.save(&self.registry.woken()),
            }
        }
    }

    /// Stops accepting on all listeners.
    pub(super) async fn close_listeners(&mut self) {
        self.stats.begin_shutdown();
        let listeners =
            self.active.iter_mut().flat_map(|service| std::mem::take(&mut service.listeners)).flatten();
        for mut listener in listeners.filter_map(OpenListener::close) {
            // The service manager still holds the socket, and clients find it by its file.
            if self.fd_store.is_some() {
                listener.keep_file();
            }
        }
        std::mem::take(&mut self.accepting).shutdown().await;
    }

    /// Returns the open sessions of all services, draining ones included.
    pub(super) fn open_sessions(&self) -> Vec<OpenSessions> {
        let draining = self.draining.iter().filter_map(Weak::upgrade).map(|service| service.open_sessions());
        self.active.iter().map(ActiveService::open_sessions).chain(draining).collect()
    }

    /// Returns the longest time that the stop of a workload may take.
    pub(super) fn longest_stop_timeout(&self) -> Duration {
        self.config.services.iter().map(|service| service.waking.stop_timeout).max().unwrap_or_default()
    }

    /// Logs that the process ends, and for which sessions it waits.
    pub(super) fn log_end(&self) {
        let (open, limit) = (self.fd_limits.open(), self.config.drain_timeout.unwrap_or(TimeSpan::ZERO));
        let what = match open {
            0 => "Ending.".to_owned(),
            open if limit.is_zero() => {
                format!("Ending; {} will be closed.", counted(open, "session", "sessions"))
            }
            open => format!(
                "Ending; waiting up to {limit} for {} (drain_timeout).",
                counted(open, "session", "sessions")
            ),
        };
        self.log.line(Level::Notice, format_args!("{what}"));
    }

    /// Logs which workloads are stopped before the end.
    pub(super) fn log_stops(&self) {
        /// The most names in a line.
        const MAX_NAMES: usize = 10;
        let mut names: Vec<_> = self.registry.owned_names().into_iter().collect();
        if names.is_empty() {
            return;
        }
        let count = counted(names.len(), "workload", "workloads");
        let more = if names.len() > MAX_NAMES { ", ..." } else { "" };
        names.truncate(MAX_NAMES);
        let (names, seconds) = (names.join(", "), self.longest_stop_timeout().as_secs_f64());
        self.log.line(
            Level::Notice,
            format_args!("Stopping {count}, at most {seconds} s each (stop_timeout): {names}{more}."),
        );
    }

    /// Stops the workloads that dormouse started.
    pub(super) async fn stop_workloads(mut self) {
        let left = self.registry.shut_down().await;
        self.wake_state.save(&left);
    }

    /// Forgets the listeners whose socket file was removed. Clients cannot find them, so the reload opens them again.
    pub(super) fn forget_lost_listeners(&mut self) {
        let services = self.active.iter().enumerate();
        let listeners = services.flat_map(|(service, active)| {
            let open = active.listeners.iter().enumerate();
            open.map(move |(number, open)| ((service, number), open))
        });
        let lost = listeners
            .filter(|(_, open)| open.iter().filter_map(OpenListener::listener).any(Listener::is_file_gone));
        let mut lost: Vec<(usize, usize)> = lost.map(|(place, _)| place).collect();
        // From the last one on, so that the numbers of those before it stay valid.
        while let Some((service, listener)) = lost.pop() {
            self.forget_listener(service, listener);
        }
    }

    /// Removes a listener from the configuration in effect, so that the next reload opens it.
    pub(super) fn forget_listener(&mut self, service: usize, listener: usize) {
        if let Some(ActiveService { config, listeners, .. }) = self.active.get_mut(service) {
            remove_at(&mut config.listen, listener);
            remove_at(listeners, listener);
        }
        if let Some(config) = self.config.services.get_mut(service) {
            remove_at(&mut config.listen, listener);
        }
    }
}

fn remove_at<T>(list: &mut Vec<T>, index: usize) {
    if index < list.len() {
        list.remove(index);
    }
}

/// The largest number of sessions that the configuration allows.
fn max_sessions(config: &Config) -> u32 {
    config.services.iter().fold(0, |sum, service| sum.saturating_add(service.maxconn.get()))
}

/// The number of servers that dormouse starts.
fn wakeable_servers<'a>(services: impl IntoIterator<Item = &'a ServiceConfig>) -> usize {
    let servers = services.into_iter().flat_map(|service| &service.servers);
    servers.filter(|server| server.wake.is_some()).count()
}
