//! A service: its servers, and the rules by which clients get to them.

use std::sync::Arc;
use std::time::Duration;

use dormouse_config::limit::AtLimit;
use dormouse_config::model::{ServerConfig, ServiceConfig};
use dormouse_core::activation::{Eviction, Policy};
use dormouse_core::address::Target;
use dormouse_core::control::AdminState;
use dormouse_core::timespan::TimeSpan;
use dormouse_log::Log;
use dormouse_sys::resolve::ResolveError;
use tokio::sync::Notify;

use super::acquire::Upstream;
use super::activation::{ActivationSettings, KeepAlive, Readiness, Registry, ServerId};
use super::admin::{AdminOverrides, ServerOverride, WeightOverride, configured_state};
use super::names::{self, NamedServers};
use super::rules::ClientRules;
use super::select::{HealthChecker, Outages, Pool, ServerHandle, ServerView};
use super::server::Server;
use super::tasks::{BackgroundTasks, Lifetime};
use super::wakeable::WakeableServer;
use super::{UpstreamConn, UpstreamRequest};
use crate::connect::Route;
use crate::refusal::Refusal;

/// The time beyond its stop timeout after which a stop that the activator has not reported counts as failed.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// A service: its servers, and the rules by which clients get to them.
#[derive(Debug)]
pub struct Service {
    upstream: Upstream,
    /// Notified when a waiting slot becomes free.
    capacity: Arc<Notify>,
    tasks: BackgroundTasks,
}

/// The routes to the servers of a service.
#[derive(Debug)]
pub struct Routes {
    routes: Vec<Arc<Route>>,
    /// The names among the servers, each with its slots.
    names: Vec<NamedServers>,
}

impl Routes {
    /// Prepares the routes to the configured servers.
    ///
    /// # Errors
    /// When an address cannot be completed.
    pub fn prepare(config: &ServiceConfig) -> Result<Self, ResolveError> {
        let mut names = Vec::new();
        let mut routes = Vec::with_capacity(config.servers.len());
        for (number, server) in config.servers.iter().enumerate() {
            let route = match names::add_slot(&mut names, number, server, config.timeouts.connect) {
                Some(route) => route,
                None => Route::new(&server.to, config.timeouts.connect)?,
            };
            routes.push(Arc::new(route));
        }
        Ok(Self { routes, names })
    }
}

impl Service {
    /// Returns a service of one server that dormouse does not start. A client is held for at most `hold_timeout` while
    /// the server takes no connections.
    pub fn unmanaged(route: Route, hold_timeout: TimeSpan) -> Self {
        let rules = ClientRules::hold_only(hold_timeout);
        Self {
            upstream: Upstream { servers: vec![Server::unmanaged(route)], pool: None, rules },
            capacity: Arc::default(),
            tasks: BackgroundTasks::default(),
        }
    }

    /// Returns a configured service, with the routes to its servers. The registry owns the wakeable servers among them.
    /// `overrides`: what an administrator has changed of the servers before.
    pub fn new(
        config: &ServiceConfig,
        Routes { routes, names }: Routes,
        overrides: &AdminOverrides,
        log: &Log,
        registry: &mut Registry,
    ) -> Self {
        let mut servers: Vec<Server> = Vec::with_capacity(config.servers.len());
        for (number, (server, route)) in config.servers.iter().zip(routes).enumerate() {
            let wakeable = wakeable_server(config, number, server, &route, log, registry);
            let state = overrides.state(server);
            if let Some((wakeable, _)) = &wakeable {
                evict_by_admin(wakeable, state);
            }
            servers.push(Server::new(route, wakeable, state));
        }
        let wakeables = servers.iter().map(|server| server.wakeable.clone());
        let capacity = registry.capacity(&config.name);
        let pool = Pool::for_service(config, overrides, wakeables, &capacity, log);
        let mut tasks = BackgroundTasks::default();
        if let Some(pool) = &pool {
            start_tasks(&mut tasks, config, pool, &servers, names, log);
        }
        Self { upstream: Upstream { servers, pool, rules: ClientRules::new(config) }, capacity, tasks }
    }

    /// Gets a connection to a server for a client. The server receives `prefix` before the client's bytes.
    ///
    /// # Errors
    /// The reason why the client gets no server.
    pub fn acquire(
        &self,
        request: UpstreamRequest<'_>,
        prefix: Vec<u8>,
    ) -> impl Future<Output = Result<UpstreamConn, Refusal>> {
        self.upstream.acquire(request, prefix)
    }

    /// Returns whether a client's address matters to the service.
    pub fn needs_client(&self) -> bool {
        self.upstream.rules.wake_allow.is_some() || self.pool().is_some_and(|pool| pool.needs_client())
    }

    /// Returns whether one more client may be accepted while `open` clients are here. It may not while the maximum
    /// number of clients waits and further clients are to stay in the backlog.
    pub fn has_capacity(&self, open: usize) -> bool {
        let rules = &self.upstream.rules;
        if rules.overflow == AtLimit::Refuse {
            return true;
        }
        if self.pool().is_some_and(|pool| !pool.can_queue()) {
            return false;
        }
        if self.upstream.servers.iter().any(Server::is_up) {
            return true;
        }
        let leases: usize = self.wakeable_servers().map(|wakeable| wakeable.load().0).sum();
        open.saturating_sub(leases) < rules.held_max
    }

    /// Waits until [`Self::has_capacity`] may have changed.
    pub async fn capacity_changed(&self) {
        self.capacity.notified().await;
    }

    /// Returns whether a client that arrives now has to wait for a start.
    pub fn is_asleep(&self) -> bool {
        !self.upstream.servers.iter().any(Server::is_up)
    }

    /// Returns the wakeable server of this number. `None`: dormouse does not start that server.
    pub fn wakeable(&self, index: usize) -> Option<&Arc<WakeableServer>> {
        self.upstream.servers.get(index)?.wakeable.as_ref()
    }

    /// Returns the servers that dormouse starts and stops.
    pub fn wakeable_servers(&self) -> impl Iterator<Item = &Arc<WakeableServer>> {
        self.upstream.servers.iter().filter_map(|server| server.wakeable.as_ref())
    }

    /// Returns the servers as they are now, in the configured order. Empty for a service of one server without rules:
    /// the service's own statistics are those of the server.
    pub fn servers(&self) -> Vec<ServerView> {
        self.pool().map(|pool| pool.view()).unwrap_or_default()
    }

    /// Returns the server of this name. `None` also for a service of one server without rules.
    pub fn server(&self, name: &str) -> Option<ServerHandle> {
        ServerHandle::find(self.pool()?, name)
    }

    /// Returns when no server took sessions. `None` for a service of one server without rules.
    pub fn outages(&self) -> Option<Outages> {
        Some(self.pool()?.outages())
    }

    /// Returns the administrative state of the server of this number.
    pub fn admin(&self, index: usize) -> AdminState {
        match self.pool() {
            Some(pool) => pool.admin(index),
            None => self.upstream.servers.get(index).map(|server| server.admin.get()).unwrap_or_default(),
        }
    }

    /// Sets the administrative state of a server. A wakeable server that is drained or in maintenance is stopped as
    /// soon as it is not in use.
    pub fn set_admin(&self, index: usize, state: AdminState) {
        if let Some(pool) = self.pool() {
            pool.set_admin(index, state);
        } else if let Some(server) = self.upstream.servers.get(index) {
            server.admin.set(state);
        }
        if let Some(wakeable) = self.wakeable(index) {
            evict_by_admin(wakeable, state);
        }
    }

    /// Returns what an administrator has changed of the servers. `config` is their configuration.
    pub fn admin_overrides(&self, config: &ServiceConfig) -> AdminOverrides {
        AdminOverrides::collect(config.servers.iter().enumerate().map(|(index, server)| {
            let state = Some(self.admin(index)).filter(|state| *state != configured_state(server));
            (server.name.clone(), ServerOverride { state, weight: self.weight_override(index, server) })
        }))
    }

    fn weight_override(&self, index: usize, server: &ServerConfig) -> Option<WeightOverride> {
        // A server that the DNS assigns to a slot brings its own weight.
        if matches!(server.to, Target::Slot { .. }) {
            return None;
        }
        let (configured, current) = (server.weight, self.pool()?.weight(index)?);
        (configured != current).then_some(WeightOverride { configured, current })
    }

    /// Returns the number of sessions that keep their server to their end, where it was chosen among several.
    pub fn established_sessions(&self) -> usize {
        self.pool().map_or(0, |pool| pool.established())
    }

    /// Ends the background tasks that only matter to the choice of a server, because no further client will ask for
    /// one. Health checks that end sessions go on.
    pub fn retire(&self) {
        self.tasks.retire();
    }

    /// Returns the number of clients that wait for a server.
    #[cfg(test)]
    pub fn queued(&self) -> usize {
        self.pool().map_or(0, |pool| pool.queued())
    }

    fn pool(&self) -> Option<&Arc<Pool>> {
        self.upstream.pool.as_ref()
    }
}

/// Gets the wakeable server of a configured server from the registry, if dormouse is to start it.
fn wakeable_server(
    config: &ServiceConfig,
    number: usize,
    server: &ServerConfig,
    route: &Arc<Route>,
    log: &Log,
    registry: &mut Registry,
) -> Option<(Arc<WakeableServer>, KeepAlive)> {
    let wake = server.wake.as_ref()?;
    let name = match config.servers.as_slice() {
        [_] => config.name.clone(),
        _ => format!("{}/{}", config.name, server.name),
    };
    let before = config.servers.iter().take(number).filter(|other| other.to == server.to);
    let id = ServerId { service: config.name.clone(), to: server.to.to_string(), number: before.count() };
    let settings = ActivationSettings {
        activator: wake.clone(),
        route: Arc::clone(route),
        readiness: Readiness { ready: config.ready.clone(), settle: config.settle },
        stop_timeout: config.waking.stop_timeout,
        keep_warm: config.idle.keep_warm.clone(),
        group: config.exclusive.as_deref().map(|name| registry.group(name)),
    };
    Some(registry.get_or_start(&id, &name, policy(config), settings, log))
}

/// Starts the health checks, and follows the names.
fn start_tasks(
    tasks: &mut BackgroundTasks,
    config: &ServiceConfig,
    pool: &Arc<Pool>,
    servers: &[Server],
    names: Vec<NamedServers>,
    log: &Log,
) {
    for (index, (server, configured)) in servers.iter().zip(&config.servers).enumerate() {
        let Some(check) = configured.check.clone() else { continue };
        let lifetime = if check.ends_sessions { Lifetime::UntilDropped } else { Lifetime::UntilRetired };
        let checker = HealthChecker {
            pool: Arc::clone(pool),
            server: index,
            route: Arc::clone(server.target.route()),
            wakeable: server.wakeable.clone(),
            check,
        };
        tasks.spawn(checker.run(), lifetime);
    }
    for name in names {
        tasks.spawn(name.follow(Arc::clone(pool), config, log.clone()), Lifetime::UntilRetired);
    }
}

/// Makes a wakeable server stop as soon as it is not in use, unless an administrator wants it to take sessions.
fn evict_by_admin(wakeable: &WakeableServer, state: AdminState) {
    wakeable.set_eviction(Eviction::Admin, state != AdminState::Ready);
}

fn policy(config: &ServiceConfig) -> Policy {
    let waking = &config.waking;
    Policy {
        hold_timeout: config.hold.timeout.finite().unwrap_or(Duration::MAX),
        hold_max: usize::try_from(config.hold.max.get()).unwrap_or(usize::MAX),
        start_timeout: waking.start_timeout,
        // The activator enforces the stop timeout first.
        stop_timeout: waking.stop_timeout.saturating_add(STOP_GRACE),
        freeze_after: config.idle.freeze,
        stop_after: config.idle.stop,
        minimum_uptime: config.idle.minimum_uptime,
        stop_foreign: waking.stop_foreign,
        ..Policy::default()
    }
}
