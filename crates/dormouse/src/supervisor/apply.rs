//! Applies a configuration: the first one, and each one that replaces it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use dormouse_config::model::{Config, Listen, ServerConfig, ServiceConfig};
use dormouse_connect::message_credentials;
use dormouse_log::Level;
use dormouse_proxy::admission::Admission;
use dormouse_proxy::proxy_protocol::AcceptProxy;
use dormouse_proxy::session::ServiceContext;
use dormouse_proxy::stats::Stats;
use dormouse_proxy::upstream::{AdminOverrides, Service};

use super::RunError;
use super::open::PreparedService;
use super::plan::{Origin, Plan, Step, changed_settings, plan};
use super::service::{ActiveService, PreviousService, TimerGuard};
use super::state::Supervisor;

/// What a reload did to the services, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    kept: usize,
    changed: Vec<String>,
    added: Vec<String>,
    removed: Vec<String>,
    /// The keys of all services that have other values.
    settings: Vec<&'static str>,
}

impl Supervisor {
    /// Applies the first configuration, and closes the stored listeners that it does not use.
    pub(super) async fn start(&mut self, config: Config) -> Result<(), RunError> {
        // Before anything is opened, because an unused listener may occupy an address that is needed.
        let unused = self.sockets.take_unused(&config);
        if !unused.is_empty() {
            self.release_stored(unused).await;
        }
        self.apply(config).await?;
        self.sockets.drop_stored();
        self.registry.forget_restored();
        self.sockets.warn_about_unused(&self.log);
        Ok(())
    }

    /// Replaces the configuration in effect. Services that are equal in both are not touched.
    ///
    /// # Errors
    /// When a socket or an address that the configuration needs is missing. Then nothing has changed.
    pub(super) async fn apply(&mut self, config: Config) -> Result<Changes, RunError> {
        self.forget_lost_listeners();
        let mut admin_changes = self.admin_listeners.reconfigure(&config.admin);
        let plan = plan(&self.config, &config, &self.admin_listeners.closing(&admin_changes));
        admin_changes.defer(&self.closing(&plan));
        let prepared = self.prepare(&config, &plan, &mut admin_changes).await?;
        self.log.set_level(config.log_level);
        self.log.set_format(config.admin.format);
        self.admin_listeners.apply(admin_changes, &self.running);

        // All services that change are closed first, so that each new one finds the listeners that it takes over.
        let old = std::mem::take(&mut self.active).into_iter().enumerate();
        let (mut kept, mut closed) = (BTreeMap::new(), BTreeMap::new());
        let staying = plan.kept();
        self.draining.retain(|draining| draining.strong_count() > 0);
        for (number, service) in old {
            if staying.has_service(number) {
                kept.insert(number, service);
                continue;
            }
            let (previous, draining) = service.close();
            closed.insert(number, previous);
            self.draining.push(Arc::downgrade(&draining));
            self.drain_tasks.spawn(draining.drain(config.drain_timeout, self.log.clone()));
        }
        self.registry.expect(&config.services);
        let settings = changed_settings(&self.config, &config);
        let mut changes = Changes { settings, ..Changes::default() };
        for ((service, step), prepared) in config.services.iter().zip(&plan.steps).zip(prepared) {
            match (step, prepared) {
                (Step::Keep(number), _) => {
                    changes.kept += 1;
                    self.active.extend(kept.remove(number));
                }
                (Step::SetUp { previous, listeners }, Some(prepared)) => {
                    let names = if previous.is_some() { &mut changes.changed } else { &mut changes.added };
                    names.push(service.name.clone());
                    let active = self.set_up(service, listeners, prepared, *previous, &mut closed);
                    self.active.push(active);
                }
                // `prepare` returns a prepared service for each step that sets one up.
                (Step::SetUp { .. }, None) => {}
            }
        }
        for (listen, listeners) in closed.into_values().flat_map(|previous| previous.listeners) {
            self.sockets.put_back(&listen, listeners);
        }
        let name = |number: usize| self.config.services.get(number).map(|service| service.name.clone());
        changes.removed = plan.removed.into_iter().filter_map(name).collect();
        self.reserve_fds();
        self.config = config;
        self.registry.remove_unused();
        self.publish();
        if let Some(store) = &mut self.fd_store {
            store.keep_listeners(&self.active, &self.log);
        }
        Ok(changes)
    }

    /// Returns the listeners that are open and that the plan closes.
    fn closing(&self, plan: &Plan) -> Vec<Listen> {
        let services = self.config.services.iter().enumerate();
        let listeners = services.flat_map(|(service, config)| {
            let listeners = config.listen.iter().enumerate();
            listeners.map(move |(number, listen)| ((service, number), listen))
        });
        let kept = plan.kept();
        let closed = listeners.filter(|((service, listener), _)| !kept.has_listener(*service, *listener));
        closed.map(|(_, listen)| listen.clone()).collect()
    }

    fn set_up(
        &mut self,
        service: &ServiceConfig,
        origins: &[Origin],
        prepared: PreparedService,
        previous: Option<usize>,
        closed: &mut BTreeMap<usize, PreviousService>,
    ) -> ActiveService {
        let PreparedService { routes, listeners } = prepared;
        let previous = previous.and_then(|number| closed.get(&number));
        let stats = || {
            Stats::for_service(Arc::clone(&self.stats), self.log.for_service(&service.name), &service.name)
        };
        let (stats, overrides) = previous
            .map_or_else(|| (Arc::new(stats()), AdminOverrides::default()), PreviousService::inherited);
        let context = Arc::new(ServiceContext {
            label: format!("{}: ", service.name),
            service: Service::new(service, routes, &overrides, &stats.log, &mut self.registry),
            limits: Arc::new(service.timeouts.limits),
            servers: stats.set_servers(service.servers.iter().map(|server| server.name.as_str())),
            stats,
            pipes: Arc::clone(&self.pipes),
            accept_proxy: service
                .accept_proxy
                .clone()
                .map(|from| AcceptProxy { from, timeout: service.timeouts.proxy_header }),
            proxy_protocol: service.proxy_protocol,
            message_credentials: message_credentials(service.peer_credentials),
            quiet: service.idle.quiet,
            spelling: service.spelling,
        });
        let admission = Admission::with_tracked_sessions(service.maxconn, service.at_limit, &self.fd_limits);
        let label = service_label(service);
        let mut accepting = Vec::with_capacity(service.listen.len());
        for ((listen, origin), prepared) in service.listen.iter().zip(origins).zip(listeners) {
            let sockets = match (origin, prepared.opened) {
                (_, Some(opened)) => {
                    for listener in &opened {
                        self.log.line(Level::Info, format_args!("Listening on {listener} for {label}."));
                    }
                    opened
                }
                (Origin::Moved { service, listener }, None) => {
                    let moved = closed.get_mut(service).map(|previous| previous.take(*listener));
                    let moved = moved.unwrap_or_default();
                    for listener in &moved {
                        if let Some(Err(error)) =
                            listen.file().map(|options| listener.set_file_permissions(options))
                        {
                            self.log.line(Level::Warning, format_args!("{error}."));
                        }
                        self.log.line(Level::Debug, format_args!("{listener} moved to {label}."));
                    }
                    moved
                }
                (Origin::Opened | Origin::OpenedAfter, None) => Vec::new(),
            };
            let open = sockets.into_iter().zip(prepared.accept_sockets).map(|(listener, accept_socket)| {
                self.accepting.open(listener, accept_socket, Arc::clone(&admission), Arc::clone(&context))
            });
            accepting.push(open.collect());
        }
        let timer_guard = TimerGuard::start(&context);
        ActiveService { config: service.clone(), listeners: accepting, admission, context, timer_guard }
    }
}

/// A service's name with its servers, for the log.
fn service_label(service: &ServiceConfig) -> String {
    let servers: Vec<_> = service.servers.iter().filter_map(ServerConfig::display_address).collect();
    format!("{} ({})", service.name, servers.join(", "))
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} unchanged", self.kept)?;
        for (what, names) in [("changed", &self.changed), ("new", &self.added), ("removed", &self.removed)] {
            if !names.is_empty() {
                write!(f, ", {} {what} ({})", names.len(), names.join(", "))?;
            }
        }
        if !self.settings.is_empty() {
            write!(f, ", settings changed ({})", self.settings.join(", "))?;
        }
        Ok(())
    }
}
