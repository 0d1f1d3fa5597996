//! The running services and servers, as the admin interfaces see them.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use dormouse_config::model::ServiceConfig;
use dormouse_core::address::{Host, Target};
use dormouse_core::control::{AdminState, Selector, ServerName};
use dormouse_core::pool::SlotState;
use dormouse_log::Log;
use dormouse_proxy::admission::{Admission, FdLimits, FdReservation};
use dormouse_proxy::session::ServiceContext;
use dormouse_proxy::stats::Stats;
use dormouse_proxy::stats::count::StartTime;
use dormouse_proxy::stats::counters::ServerCounters;
use dormouse_proxy::stats::sessions::SessionTable;
use dormouse_proxy::upstream::WakeableServer;
use dormouse_proxy::upstream::{ServerHandle, ServerView, Service};

use super::next_action::stop_verb;

/// The running process with its services.
#[derive(Debug)]
pub struct Running {
    /// The log.
    pub log: Log,
    /// The statistics of the process.
    pub stats: Arc<Stats>,
    /// The limits on descriptors.
    pub fd_limits: Arc<FdLimits>,
    /// The time of the start.
    pub started: SystemTime,
    fd_reservation: Mutex<FdReservation>,
    http_hosts: Mutex<Arc<Vec<Host>>>,
    services: Mutex<Arc<Vec<RunningService>>>,
}

/// A running service.
#[derive(Debug)]
pub struct RunningService {
    /// Its name.
    pub name: String,
    /// The addresses of its listeners.
    pub listen: Vec<String>,
    /// The admission of clients.
    pub admission: Arc<Admission>,
    /// The state that its sessions share.
    pub shared: Arc<ServiceContext>,
    /// The maximum number of held clients.
    pub hold_max: u32,
    /// The balance algorithm, with its name in `HAProxy`.
    pub algo: &'static str,
    servers: Vec<StaticServer>,
}

/// The configuration of a server.
#[derive(Debug)]
struct StaticServer {
    name: String,
    to: Target,
    address: String,
    weight: u32,
    wakes: bool,
    stop_verb: &'static str,
}

/// A server of a service with its present state.
#[derive(Debug)]
pub struct RunningServer<'a> {
    /// Its index in the service.
    pub index: usize,
    /// Its name in its service.
    pub name: &'a str,
    /// Its address; for a slot of a DNS name the resolved one.
    pub address: Cow<'a, str>,
    /// Its configured target.
    pub to: &'a Target,
    /// Its configured weight.
    pub configured_weight: u32,
    /// Whether dormouse starts it.
    pub wakes: bool,
    /// The verb for its stop.
    pub stop_verb: &'static str,
    /// Its counters.
    pub counters: Option<&'a ServerCounters>,
    /// Its state in the pool, if there is one.
    pub view: Option<ServerView>,
    service: &'a Service,
    /// The start of the statistics.
    start_time: StartTime,
}

impl<'a> RunningServer<'a> {
    /// Returns its workload, if dormouse starts it.
    pub fn wakeable(&self) -> Option<&'a Arc<WakeableServer>> {
        self.service.wakeable(self.index)
    }

    /// Returns whether a server has the slot.
    pub fn slot_state(&self) -> SlotState {
        self.view.as_ref().map(|view| view.slot_state).unwrap_or_default()
    }

    /// Returns its administrative state. A vacant slot is in maintenance.
    pub fn admin(&self) -> AdminState {
        let without_pool = || self.service.admin(self.index);
        self.view.as_ref().map_or_else(without_pool, |view| view.admin)
    }

    /// Sets the administrative state, also for later servers of the slot. A drained server, or one in maintenance,
    /// stops as soon as no session uses it.
    pub fn set_admin(&self, admin: AdminState) {
        self.service.set_admin(self.index, admin);
    }

    /// Returns a handle to change its rules; `None` if it has none.
    pub fn handle(&self) -> Option<ServerHandle> {
        self.service.server(self.name)
    }

    /// Returns its weight.
    pub fn weight(&self) -> u32 {
        self.view.as_ref().map_or(self.configured_weight, |view| view.weight)
    }

    /// Returns whether it is a backup.
    pub fn is_backup(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.backup)
    }

    /// Returns whether health checks fail.
    pub fn is_down(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.is_checked && !view.is_up)
    }

    /// Returns how long it has been in its state: that of checks and administration, or that of its workload.
    pub fn since(&self) -> Duration {
        match (self.wakeable(), &self.view) {
            (Some(wakeable), _) if !self.is_down() => wakeable.state().1.elapsed(),
            (_, Some(view)) => view.since.elapsed(),
            _ => self.start_time.elapsed(),
        }
    }
}

impl Running {
    /// Creates it without services.
    pub fn new(stats: Arc<Stats>, fd_limits: Arc<FdLimits>, log: Log) -> Arc<Self> {
        let started = SystemTime::now();
        Arc::new(Self {
            log,
            stats,
            fd_limits,
            started,
            fd_reservation: Mutex::default(),
            http_hosts: Mutex::default(),
            services: Mutex::default(),
        })
    }

    /// Sets the descriptors that are reserved for other things than sessions.
    pub fn set_fd_reservation(&self, reservation: FdReservation) {
        *self.fd_reservation.lock().unwrap_or_else(PoisonError::into_inner) = reservation;
    }

    /// Returns the descriptors that are reserved for other things than sessions.
    pub fn fd_reservation(&self) -> FdReservation {
        *self.fd_reservation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the hosts that requests to the web address may name.
    pub(super) fn set_http_hosts(&self, hosts: Vec<Host>) {
        *self.http_hosts.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(hosts);
    }

    /// Returns the hosts that requests to the web address may name.
    pub(super) fn http_hosts(&self) -> Arc<Vec<Host>> {
        Arc::clone(&self.http_hosts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces all services.
    pub fn replace(&self, services: Vec<RunningService>) {
        *self.services.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(services);
    }

    /// Returns the services in the order of the configuration.
    pub fn services(&self) -> Arc<Vec<RunningService>> {
        Arc::clone(&self.services.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the register of sessions, if one is kept.
    pub fn sessions(&self) -> Option<&Arc<SessionTable>> {
        self.stats.sessions()
    }

    /// Returns the time since the start.
    pub fn uptime(&self) -> Duration {
        self.stats.start_time.elapsed()
    }
}

impl RunningService {
    /// Creates a running service.
    pub fn new(
        config: &ServiceConfig,
        listen: Vec<String>,
        admission: &Arc<Admission>,
        shared: &Arc<ServiceContext>,
    ) -> Self {
        let servers = config.servers.iter().map(|server| StaticServer {
            name: server.name.clone(),
            to: server.to.clone(),
            address: server.to.to_string(),
            weight: server.weight,
            wakes: server.wake.is_some(),
            stop_verb: stop_verb(server.wake.as_ref()),
        });
        Self {
            name: config.name.clone(),
            listen,
            admission: Arc::clone(admission),
            shared: Arc::clone(shared),
            hold_max: config.hold.max.get(),
            algo: config.balance.word(),
            servers: servers.collect(),
        }
    }

    /// Returns its statistics.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// Returns its servers.
    pub fn servers(&self) -> impl Iterator<Item = RunningServer<'_>> {
        let mut views = self.shared.service.servers().into_iter();
        self.servers.iter().enumerate().map(move |(index, server)| {
            let view = views.next();
            let address = view.as_ref().map(|view| Cow::Owned(view.address.clone()));
            RunningServer {
                index,
                name: &server.name,
                address: address.unwrap_or(Cow::Borrowed(&server.address)),
                to: &server.to,
                configured_weight: server.weight,
                wakes: server.wakes,
                stop_verb: server.stop_verb,
                counters: self.shared.servers.get(index).map(|counted| &counted.counters),
                view,
                service: &self.shared.service,
                start_time: self.stats().start_time,
            }
        })
    }

    /// Returns the outages of the service, when no server takes sessions: their number, their total duration, and the
    /// time since the last change.
    pub fn outages(&self) -> (u64, Duration, Duration) {
        if let Some(outages) = self.shared.service.outages() {
            return (outages.count, outages.lasted(Instant::now()), outages.since.elapsed());
        }
        let since = self.servers().next().map(|server| server.since());
        (0, Duration::ZERO, since.unwrap_or_else(|| self.stats().start_time.elapsed()))
    }

    /// Returns the server with this name.
    pub fn server(&self, name: &str) -> Option<RunningServer<'_>> {
        self.servers().find(|server| server.name == name)
    }
}

/// Returns the service with this name.
pub(super) fn service<'a>(services: &'a [RunningService], name: &str) -> Option<&'a RunningService> {
    services.iter().find(|service| service.name == name)
}

/// The part of a name that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotFound {
    Backend,
    Server,
}

impl NotFound {
    /// Returns the message of `HAProxy`.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Backend => "No such backend.",
            Self::Server => "No such server.",
        }
    }
}

/// Returns the server with this name, and its service.
pub(super) fn find<'a>(
    services: &'a [RunningService],
    name: &ServerName,
) -> Result<(&'a RunningService, RunningServer<'a>), NotFound> {
    let service = service(services, &name.backend).ok_or(NotFound::Backend)?;
    Ok((service, service.server(&name.server).ok_or(NotFound::Server)?))
}

/// Returns the servers that the name selects.
pub(super) fn servers_of<'a>(
    services: &'a [RunningService],
    selector: &Selector,
) -> Result<(&'a RunningService, Vec<RunningServer<'a>>), NotFound> {
    match selector {
        Selector::Service(name) => {
            let service = service(services, name).ok_or(NotFound::Backend)?;
            Ok((service, service.servers().collect()))
        }
        Selector::Server(name) => find(services, name).map(|(service, server)| (service, vec![server])),
    }
}
