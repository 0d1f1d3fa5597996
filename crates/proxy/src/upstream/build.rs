//! How a configured service is made: its routes, its wakeable servers, its pool and its background tasks.

use std::sync::Arc;
use std::time::Duration;

use dormouse_activate::{ActivatorConfig, ListenerRule};
use dormouse_config::model::{ForeignListener, ServerConfig, ServiceConfig};
use dormouse_core::activation::Policy;
use dormouse_log::Log;
use dormouse_sys::resolve::ResolveError;

use super::acquire::Upstream;
use super::activation::{
    ActivationSettings, KeepAlive, MemberSettings, PortSettings, Readiness, Registry, ServerId,
};
use super::admin::AdminOverrides;
use super::names::{self, NamedServers};
use super::rules::ClientRules;
use super::select::{HealthChecker, Pool};
use super::server::Server;
use super::service::{Service, evict_by_admin};
use super::tasks::{BackgroundTasks, Lifetime};
use super::wakeable::WakeableServer;
use super::workload::HoldLimits;
use dormouse_connect::Route;

/// The time beyond its stop timeout after which a stop that the activator has not reported counts as failed.
const STOP_GRACE: Duration = Duration::from_secs(20);

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
                None => {
                    Route::new(&server.to, config.timeouts.connect)?.with_credentials(config.peer_credentials)
                }
            };
            routes.push(Arc::new(route));
        }
        Ok(Self { routes, names })
    }
}

impl Service {
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
    let settings = MemberSettings {
        name: config.server_name(server),
        policy: policy(config),
        hold: HoldLimits {
            timeout: config.hold.timeout.finite().unwrap_or(Duration::MAX),
            max: usize::try_from(config.hold.max.get()).unwrap_or(usize::MAX),
        },
        activation: ActivationSettings {
            activator: wake.clone(),
            stop_timeout: config.waking.stop_timeout,
            keep_warm: config.idle.keep_warm.clone(),
            group: config.exclusive.as_deref().map(|name| registry.group(name)),
        },
        port: PortSettings {
            route: Arc::clone(route),
            listener: listener_rule(config, wake),
            spelling: config.spelling,
            readiness: Readiness { ready: config.ready.clone(), settle: config.settle },
        },
    };
    Some(registry.get_or_start(&ServerId::of(config, number)?, settings, log))
}

/// Returns whose listener a connection to a server may reach.
fn listener_rule(config: &ServiceConfig, wake: &ActivatorConfig) -> ListenerRule {
    match config.waking.foreign_listener {
        ForeignListener::Allow => ListenerRule::Any,
        ForeignListener::Refuse => wake.properties().listener,
    }
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

fn policy(config: &ServiceConfig) -> Policy {
    let waking = &config.waking;
    Policy {
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
