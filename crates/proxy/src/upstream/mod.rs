//! What stands behind a listener. A session asks it for a server and gets a connected socket, waits for one (hold),
//! or is told why not.
//!
//! A server may sleep: [`sleeper`] is where sessions meet its state machine, the driver carries out what the machine
//! wants, `ready` finds out that it answers, `wake` is a client's way through all of it. A server that nobody has to
//! wake has none of that, only the hold.

mod admin;
mod dormitory;
mod driver;
mod group;
mod hold;
mod named;
mod pool;
mod ready;
mod server_guard;
pub mod sleeper;
mod tasks;
mod wake;

use std::net::IpAddr;
use std::sync::Arc;

use dormouse_config::limit::AtLimit;
use dormouse_config::model::{CheckConfig, Network, ServiceConfig, WakeOn};
use dormouse_core::activation::Policy;
use dormouse_core::timespan::TimeSpan;
use dormouse_log::Log;
use dormouse_relay::{Pipes, Stream};
use dormouse_sys::resolve::ResolveError;
use tokio::sync::Notify;

use crate::admission::Permit;
use crate::connect::Route;
use crate::refusal::Refusal;
use admin::AdminCell;
pub use admin::Words;
pub use dormitory::{Dormitory, Woken};
use dormitory::{Key, Wanted};
use driver::Habits;
use hold::{Patience, Turn};
use named::Named;
use pool::{Checker, Pool};
pub use pool::{LastCheck, Outages, ServerHandle, ServerView, Tally};
use ready::Readiness;
pub use server_guard::ServerGuard;
use sleeper::Sleeper;
use tasks::Tasks;

/// A service: its servers, and the rules by which clients get to them.
#[derive(Debug)]
pub struct Service {
    servers: Vec<Server>,
    /// `None`: one server, without rules of its own.
    pool: Option<Arc<Pool>>,
    rules: Rules,
    /// Somebody who waited does not any more.
    room: Arc<Notify>,
    tasks: Tasks,
}

/// One server.
#[derive(Debug)]
struct Server {
    route: Arc<Route>,
    turn: Turn,
    /// `None`: it is there, or on its way; nobody has to wake it.
    sleeper: Option<Arc<Sleeper>>,
    /// Keeps the sleeper awake to our wishes.
    _wanted: Option<Wanted>,
    /// What an administrator wants of it, where no pool knows that.
    admin: AdminCell,
}

/// The ways to the servers of a service.
#[derive(Debug)]
pub struct Routes {
    routes: Vec<Arc<Route>>,
    /// The names that have slots among them.
    named: Vec<Named>,
}

impl Routes {
    /// Prepares them.
    ///
    /// # Errors
    /// When an address cannot be completed.
    pub fn of(config: &ServiceConfig) -> Result<Self, ResolveError> {
        let mut named = Vec::new();
        let mut routes = Vec::with_capacity(config.servers.len());
        for (number, server) in config.servers.iter().enumerate() {
            let route = match named::slot(&mut named, number, server, config.timeouts.connect) {
                Some(route) => route,
                None => Route::new(&server.to, config.timeouts.connect)?,
            };
            routes.push(Arc::new(route));
        }
        Ok(Self { routes, named })
    }
}

/// The rules for clients.
#[derive(Debug)]
struct Rules {
    wait: TimeSpan,
    held_max: usize,
    overflow: AtLimit,
    on: WakeOn,
    allow: Option<Vec<Network>>,
    replay: bool,
}

/// A client that asks for a server.
#[derive(Debug)]
pub struct UpstreamRequest<'a> {
    client: &'a mut Stream,
    client_has_data: bool,
    permit: &'a Permit,
    pipes: &'a Pipes,
    address: Option<IpAddr>,
}

/// What a client gets.
#[derive(Debug)]
pub struct UpstreamConn {
    /// A connection to the server.
    pub server: Stream,
    /// The client's hold on a server that sleeps, or is one of several.
    pub guard: Option<ServerGuard>,
    /// What the server gets before anything that is read from the client.
    pub first: Vec<u8>,
    /// Bytes that it got already.
    pub sent: u64,
}

impl<'a> UpstreamRequest<'a> {
    /// A client; `client_has_data`: it has bytes waiting already. `permit` is its place, `pipes` are those of its session.
    pub fn new(client: &'a mut Stream, client_has_data: bool, permit: &'a Permit, pipes: &'a Pipes) -> Self {
        Self { client, client_has_data, permit, pipes, address: None }
    }

    /// Where it comes from, as far as that matters ([`Service::needs_client`]).
    #[must_use]
    pub fn from(mut self, address: Option<IpAddr>) -> Self {
        self.address = address;
        self
    }
}

impl Service {
    /// One server that nobody has to wake; a client is held for at most `wait` while it is not there.
    pub fn always_there(route: Route, wait: TimeSpan) -> Self {
        let server = Server {
            route: Arc::new(route),
            turn: Turn::new(),
            sleeper: None,
            _wanted: None,
            admin: AdminCell::default(),
        };
        Self {
            servers: vec![server],
            pool: None,
            rules: Rules::of_waiting(wait),
            room: Arc::default(),
            tasks: Tasks::default(),
        }
    }

    /// A service as it is configured, with the ways to its servers. Servers that sleep are those of the dormitory.
    /// `words`: what an administrator has said of them before.
    pub fn new(
        config: &ServiceConfig,
        Routes { routes, named }: Routes,
        words: &Words,
        log: &Log,
        dormitory: &mut Dormitory,
    ) -> Self {
        let mut servers: Vec<Server> = Vec::with_capacity(config.servers.len());
        for (number, (server, route)) in config.servers.iter().zip(routes).enumerate() {
            let bed = server.wake.as_ref().map(|wake| {
                let name = match config.servers.as_slice() {
                    [_] => config.name.clone(),
                    _ => format!("{}/{}", config.name, server.name),
                };
                let twins = config.servers.iter().take(number).filter(|other| other.to == server.to);
                let key =
                    Key { service: config.name.clone(), to: server.to.to_string(), number: twins.count() };
                let habits = Habits {
                    wake: wake.clone(),
                    route: Arc::clone(&route),
                    readiness: Readiness { ready: config.ready.clone(), settle: config.settle },
                    stop_timeout: config.waking.stop_timeout,
                    keep_warm: config.idle.keep_warm.clone(),
                    group: config.exclusive.as_deref().map(|name| dormitory.group(name)),
                };
                dormitory.bed(&key, &name, policy(config), habits, log)
            });
            let (sleeper, wanted) = bed.unzip();
            let admin = words.admin(server);
            if let Some(sleeper) = &sleeper {
                admin::tell(sleeper, admin);
            }
            servers.push(Server {
                route,
                turn: Turn::new(),
                sleeper,
                _wanted: wanted,
                admin: AdminCell::new(admin),
            });
        }
        let sleepers = servers.iter().map(|server| server.sleeper.clone());
        let room = dormitory.room(&config.name);
        let pool = Pool::of(config, words, sleepers, &room, log);
        let mut tasks = Tasks::default();
        for (server, check) in checked(config) {
            let (Some(pool), Some(Server { route, sleeper, .. })) = (&pool, servers.get(server)) else {
                continue;
            };
            let (pool, route, sleeper) = (Arc::clone(pool), Arc::clone(route), sleeper.clone());
            let ends_sessions = check.ends_sessions;
            tasks.run(Checker { pool, server, route, sleeper, check }.run(), ends_sessions);
        }
        for named in named {
            let Some(pool) = &pool else { continue };
            tasks.run(named.run(Arc::clone(pool), config, log.clone()), false);
        }
        let rules = Rules {
            wait: config.hold.timeout,
            held_max: usize::try_from(config.hold.max.get()).unwrap_or(usize::MAX),
            overflow: config.hold.overflow,
            on: config.waking.on,
            allow: config.waking.allow.clone(),
            replay: config.replay,
        };
        Self { servers, pool, rules, room, tasks }
    }

    /// Gets a server for a client. `first` is what the server is told before anything that the client says.
    ///
    /// # Errors
    /// When the client gets none, and why.
    pub async fn lease(&self, request: UpstreamRequest<'_>, first: Vec<u8>) -> Result<UpstreamConn, Refusal> {
        let ([server @ Server { sleeper: None, .. }], None) = (self.servers.as_slice(), &self.pool) else {
            // Boxed: those who have one server that is there would carry it.
            return Box::pin(self.wake_and_lease(request, first)).await;
        };
        if !server.admin.takes_sessions() {
            return Err(Refusal::Maintenance);
        }
        let UpstreamRequest { client, client_has_data, permit, .. } = request;
        let patience = Patience::new(self.rules.wait);
        let server = match server.connect_for(client, client_has_data, patience).await? {
            Ok(connected) => connected,
            Err(error) if patience.is_none() || !error.is_transient() => {
                return Err(Refusal::Unreachable(error));
            }
            // Boxed: most sessions never come here.
            Err(error) => Box::pin(server.hold(client, client_has_data, permit, error, patience)).await?,
        };
        Ok(UpstreamConn { server, guard: None, first, sent: 0 })
    }

    /// Whether it matters where a client comes from.
    pub fn needs_client(&self) -> bool {
        self.rules.allow.is_some() || self.pool.as_ref().is_some_and(|pool| pool.needs_client())
    }

    /// Whether one more client may be accepted while so many are here: not while as many wait as may, and more are to
    /// stay in the backlog.
    pub fn has_room(&self, open: usize) -> bool {
        if self.rules.overflow == AtLimit::Refuse {
            return true;
        }
        if self.pool.as_ref().is_some_and(|pool| !pool.may_wait()) {
            return false;
        }
        if self.servers.iter().any(Server::is_up) {
            return true;
        }
        let leases: usize = self.sleepers().map(|sleeper| sleeper.load().0).sum();
        open.saturating_sub(leases) < self.rules.held_max
    }

    /// Waits until [`Self::has_room`] may have changed.
    pub async fn room_changed(&self) {
        self.room.notified().await;
    }

    /// What wakes the server of this number, if it sleeps at all.
    pub fn sleeper(&self, index: usize) -> Option<&Arc<Sleeper>> {
        self.servers.get(index)?.sleeper.as_ref()
    }

    /// Whether a client that comes now waits for something to be woken.
    pub fn is_asleep(&self) -> bool {
        !self.servers.iter().any(Server::is_up)
    }

    /// The servers that sleep.
    pub fn sleepers(&self) -> impl Iterator<Item = &Arc<Sleeper>> {
        self.servers.iter().filter_map(|server| server.sleeper.as_ref())
    }
}

impl Server {
    fn is_up(&self) -> bool {
        self.sleeper.as_ref().is_none_or(|sleeper| sleeper.is_up())
    }
}

impl Rules {
    fn of_waiting(wait: TimeSpan) -> Self {
        Self {
            wait,
            held_max: usize::MAX,
            overflow: AtLimit::Refuse,
            on: WakeOn::Connect,
            allow: None,
            replay: false,
        }
    }
}

/// The servers that are checked, and how.
fn checked(config: &ServiceConfig) -> impl Iterator<Item = (usize, CheckConfig)> {
    let servers = config.servers.iter().enumerate();
    servers.filter_map(|(index, server)| Some((index, server.check.clone()?)))
}

fn policy(config: &ServiceConfig) -> Policy {
    let waking = &config.waking;
    Policy {
        hold_timeout: config.hold.timeout.finite().unwrap_or(std::time::Duration::MAX),
        hold_max: usize::try_from(config.hold.max.get()).unwrap_or(usize::MAX),
        start_timeout: waking.start_timeout,
        // Whoever stops enforces it before that.
        stop_timeout: waking.stop_timeout.saturating_add(std::time::Duration::from_secs(20)),
        freeze_after: config.idle.freeze,
        stop_after: config.idle.stop,
        minimum_uptime: config.idle.minimum_uptime,
        stop_foreign: waking.stop_foreign,
        ..Policy::default()
    }
}
