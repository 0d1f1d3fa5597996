//! All services that are being served, and how they become others.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dormouse_config::model::{Config, Listen, ServerConfig, ServiceConfig};
use dormouse_log::{Level, Log};
use dormouse_proxy::admission::{Admission, FdLimits, FdReservation, raise_fd_limit};
use dormouse_proxy::listener::PassedError;
use dormouse_proxy::listener::PassedFds;
use dormouse_proxy::proxy_protocol::AcceptProxy;
use dormouse_proxy::server::{AcceptTasks, ListenerFailed, OpenListener, OpenSessions};
use dormouse_proxy::session::ServiceContext;
use dormouse_proxy::stats::Stats;
use dormouse_proxy::upstream::{AdminOverrides, Registry, Service};
use dormouse_relay::Pipes;
use dormouse_sys::notify::Notifier;
use tokio::task::JoinSet;

use super::RunError;
use super::memory::Memory;
use super::plan::{Origin, Plan, Step, plan};
use super::prepare::Prepared;
use super::sockets::Sockets;
use super::standing::{Ahead, Former, Leaving, Standing};
use super::store::{Store, Stored};
use crate::admin::{self, AdminListeners, Running};

/// The services, and what they share.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) config: Config,
    pub(super) standing: Vec<Standing>,
    /// Those that accept no more, while their sessions last.
    leaving: JoinSet<()>,
    former: Vec<Weak<Leaving>>,
    pub(super) accepting: AcceptTasks,
    registry: Registry,
    pub(super) sockets: Sockets,
    pub(super) pool: Arc<FdLimits>,
    pub(super) pipes: Arc<Pipes>,
    pub(super) stats: Arc<Stats>,
    /// Where listeners outlive us.
    pub(super) store: Option<Store>,
    memory: Memory,
    /// For those who look.
    pub(super) window: Arc<Running>,
    /// Where they look.
    pub(super) windows: AdminListeners,
    pub(super) log: Log,
}

/// What has become of the services, each by its name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    kept: usize,
    changed: Vec<String>,
    added: Vec<String>,
    removed: Vec<String>,
}

impl Serving {
    /// Without services yet.
    ///
    /// # Errors
    /// When what was passed in is of no use.
    pub(super) fn new(
        config: &Config,
        passed: PassedFds,
        manager: Option<Notifier>,
        log: &Log,
    ) -> Result<Self, RunError> {
        let mut passed = passed.map_err(|error| RunError::Passed(PassedError::Variables(error)))?;
        let (stored, saved) = Stored::pick(&mut passed);
        let mut store = manager.and_then(Store::of);
        if let Some(store) = &mut store {
            store.had(&stored);
        }
        let (memory, woken) = Memory::open(saved, store.as_mut(), log);
        let mut registry = Registry::default();
        registry.restore(woken);
        let listeners = config.services.iter().map(|service| service.listen.len()).sum();
        let beside = FdReservation { listeners, activators: wakers(&config.services), admin_clients: 0 };
        let budget = raise_fd_limit(wanted(config), beside);
        let stats = Arc::new(Stats::new(log.clone()));
        let pool = FdLimits::new(budget.sessions);
        let window = Running::new(Arc::clone(&stats), Arc::clone(&pool), log.clone());
        Ok(Self {
            config: Config { services: Vec::new(), ..config.clone() },
            standing: Vec::new(),
            leaving: JoinSet::new(),
            former: Vec::new(),
            accepting: AcceptTasks::default(),
            registry,
            sockets: Sockets::new(Ok(passed), stored)?,
            pool,
            pipes: Pipes::new(budget.pipes),
            stats,
            store,
            memory,
            window,
            windows: AdminListeners::default(),
            log: log.clone(),
        })
    }

    /// Serves this, the first time. What came back from before and is not wanted is let go.
    pub(super) async fn begin(&mut self, config: Config) -> Result<(), RunError> {
        // Before anything is opened: it may be in the way.
        let unwanted = self.sockets.unwanted(&config);
        if !unwanted.is_empty() {
            self.let_go(unwanted).await;
        }
        self.turn_to(config).await?;
        self.sockets.forget_stored();
        self.registry.forget_restored();
        self.sockets.warn_of_the_rest(&self.log);
        Ok(())
    }

    /// The names of all listeners.
    pub(super) fn listeners(&self) -> Vec<String> {
        let listeners = self.standing.iter().flat_map(|standing| standing.listeners.iter().flatten());
        listeners.filter_map(|listener| listener.listener().map(ToString::to_string)).collect()
    }

    /// Serves this from now on. What is the same is not touched.
    ///
    /// # Errors
    /// When something cannot be had that is needed. Then nothing has changed.
    pub(super) async fn turn_to(&mut self, config: Config) -> Result<Changes, RunError> {
        self.leave_out_lost();
        let mut reconfigure = self.windows.reconfigure(&config.admin);
        let plan = plan(&self.config, &config, &self.windows.closing(&reconfigure));
        reconfigure.defer(&self.closing(&plan));
        let prepared = self.prepare(&config, &plan, &mut reconfigure).await?;
        self.log.set_level(config.log_level);
        self.log.set_format(config.admin.format);
        self.windows.apply(reconfigure, &self.window);

        // Everything that ends is closed first, so that its listeners can be taken over.
        let old = std::mem::take(&mut self.standing).into_iter().enumerate();
        let (mut kept, mut closed) = (BTreeMap::new(), BTreeMap::new());
        for (number, standing) in old {
            if plan.steps.contains(&Step::Keep(number)) {
                kept.insert(number, standing);
                continue;
            }
            let (former, leaving) = standing.close();
            closed.insert(number, former);
            self.former.retain(|former| former.strong_count() > 0);
            self.former.push(Arc::downgrade(&leaving));
            self.leaving.spawn(leaving.leave(config.drain_timeout, self.log.clone()));
        }
        let mut changes = Changes::default();
        for ((service, step), prepared) in config.services.iter().zip(&plan.steps).zip(prepared) {
            match (step, prepared) {
                (Step::Keep(number), _) => {
                    changes.kept += 1;
                    self.standing.extend(kept.remove(number));
                }
                (Step::SetUp { before, listeners }, Some(prepared)) => {
                    let names = if before.is_some() { &mut changes.changed } else { &mut changes.added };
                    names.push(service.name.clone());
                    let standing = self.set_up(service, listeners, prepared, *before, &mut closed);
                    self.standing.push(standing);
                }
                // It was prepared for just that.
                (Step::SetUp { .. }, None) => {}
            }
        }
        for (listen, listeners) in closed.into_values().flat_map(|former| former.listeners) {
            self.sockets.put_back(&listen, listeners);
        }
        let name = |number: usize| self.config.services.get(number).map(|service| service.name.clone());
        changes.removed = plan.gone.into_iter().filter_map(name).collect();
        self.make_room();
        self.config = config;
        self.registry.remove_unused();
        self.show();
        if let Some(store) = &mut self.store {
            store.keep_listeners(&self.standing, &self.log);
        }
        Ok(changes)
    }

    /// All that is open and is closed.
    fn closing(&self, plan: &Plan) -> Vec<Listen> {
        let services = self.config.services.iter().enumerate();
        let listeners = services.flat_map(|(service, config)| {
            let listeners = config.listen.iter().enumerate();
            listeners.map(move |(number, listen)| ((service, number), listen))
        });
        let closed = listeners.filter(|((service, listener), _)| !plan.keeps(*service, *listener));
        closed.map(|(_, listen)| listen.clone()).collect()
    }

    fn set_up(
        &mut self,
        service: &ServiceConfig,
        origins: &[Origin],
        prepared: Prepared,
        before: Option<usize>,
        closed: &mut BTreeMap<usize, Former>,
    ) -> Standing {
        let Prepared { routes, sockets } = prepared;
        let former = before.and_then(|number| closed.get(&number));
        let stats = || {
            Stats::for_service(Arc::clone(&self.stats), self.log.for_service(&service.name), &service.name)
        };
        let (stats, overrides) =
            former.map_or_else(|| (Arc::new(stats()), AdminOverrides::default()), Former::legacy);
        let shared = Arc::new(ServiceContext {
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
            quiet: service.idle.quiet,
        });
        let admission = Admission::with_tracked_sessions(service.maxconn, service.at_limit, &self.pool);
        let behind = behind(service);
        let mut accepting = Vec::with_capacity(service.listen.len());
        for ((listen, origin), sockets) in service.listen.iter().zip(origins).zip(sockets) {
            let listeners = match (origin, sockets.opened) {
                (_, Some(opened)) => {
                    for listener in &opened {
                        self.log.line(Level::Info, format_args!("Listening on {listener} for {behind}."));
                    }
                    opened
                }
                (Origin::Moved { service, listener }, None) => {
                    let moved = closed.get_mut(service).map(|former| former.take(*listener));
                    let moved = moved.unwrap_or_default();
                    for listener in &moved {
                        if let Some(Err(error)) =
                            listen.file().map(|options| listener.set_file_permissions(options))
                        {
                            self.log.line(Level::Warning, format_args!("{error}."));
                        }
                        self.log.line(Level::Debug, format_args!("{listener} is now for {behind}."));
                    }
                    moved
                }
                (Origin::Opened | Origin::OpenedAfter, None) => Vec::new(),
            };
            let open = listeners.into_iter().zip(sockets.waiting).map(|(listener, waiting)| {
                self.accepting.open(listener, waiting, Arc::clone(&admission), Arc::clone(&shared))
            });
            accepting.push(open.collect());
        }
        let ahead = Ahead::of(&shared);
        Standing { config: service.clone(), listeners: accepting, admission, shared, ahead }
    }

    /// Shows what is served now.
    fn show(&self) {
        let services = self.standing.iter().map(|standing| {
            let listeners = standing.listeners.iter().flatten().filter_map(OpenListener::listener);
            let listen = listeners.map(ToString::to_string).collect();
            admin::RunningService::new(&standing.config, listen, &standing.admission, &standing.shared)
        });
        self.window.replace(services.collect());
    }

    /// Makes room for the sessions of all services, and for those that go on from before.
    fn make_room(&self) {
        let listeners = self.standing.iter().flat_map(|standing| &standing.listeners).map(Vec::len).sum();
        let wakers = wakers(self.standing.iter().map(|standing| &standing.config));
        let beside =
            FdReservation { listeners, activators: wakers, admin_clients: self.windows.descriptors() };
        self.window.set_beside(beside);
        let needed = self.pool.sessions_wanted(self.standing.iter().map(|standing| &standing.admission));
        let budget = raise_fd_limit(needed, beside);
        self.pool.resize(budget.sessions);
        if budget.sessions < usize::try_from(needed).unwrap_or(usize::MAX) {
            self.log.line(
                Level::Notice,
                format_args!(
                    "The limit of {} descriptors is enough for {} of {needed} sessions (maxconn); further clients \
                     wait in the backlog. Raise LimitNOFILE= or lower maxconn.",
                    budget.limit, budget.sessions
                ),
            );
        }
    }

    /// Waits until a listener cannot be used any more. In between it puts to sleep what nobody wants.
    pub(super) async fn watch(&mut self) -> ListenerFailed {
        loop {
            tokio::select! {
                died = self.accepting.failed() => return died,
                Some(_) = self.leaving.join_next() => self.registry.remove_unused(),
                () = self.registry.changed() => self.memory.write(&self.registry.woken()),
            }
        }
    }

    /// Lets nobody in any more.
    pub(super) async fn close(&mut self) {
        self.stats.begin_shutdown();
        let listeners =
            self.standing.iter_mut().flat_map(|standing| std::mem::take(&mut standing.listeners)).flatten();
        for mut listener in listeners.filter_map(OpenListener::close) {
            if self.store.is_some() {
                listener.keep_file();
            }
        }
        std::mem::take(&mut self.accepting).shutdown().await;
    }

    /// The sessions of all services, also of those that accept no more.
    pub(super) fn guests(&self) -> Vec<OpenSessions> {
        let leaving = self.former.iter().filter_map(Weak::upgrade).map(|leaving| leaving.guests());
        self.standing.iter().map(Standing::guests).chain(leaving).collect()
    }

    /// How long putting to sleep may take what we have woken.
    pub(super) fn longest_stop(&self) -> Duration {
        self.config.services.iter().map(|service| service.waking.stop_timeout).max().unwrap_or_default()
    }

    /// Puts to sleep what we have woken.
    pub(super) async fn end(mut self) {
        self.registry.shut_down().await;
        self.memory.write(&[]);
    }
}

/// How many sessions there may be.
fn wanted(config: &Config) -> u32 {
    config.services.iter().fold(0, |sum, service| sum.saturating_add(service.maxconn.get()))
}

/// How many servers may be awake because of us.
fn wakers<'a>(services: impl IntoIterator<Item = &'a ServiceConfig>) -> usize {
    let servers = services.into_iter().flat_map(|service| &service.servers);
    servers.filter(|server| server.wake.is_some()).count()
}

/// What is behind, for the log.
fn behind(service: &ServiceConfig) -> String {
    let servers: Vec<_> = service.servers.iter().filter_map(ServerConfig::behind).collect();
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
        Ok(())
    }
}
