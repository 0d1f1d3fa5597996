//! All that can be seen and steered: the services that run, and their servers.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use dormouse_config::model::ServiceConfig;
use dormouse_core::address::Target;
use dormouse_core::control::{AdminState, Selector, ServerName};
use dormouse_core::pool::SlotState;
use dormouse_log::Log;
use dormouse_proxy::admission::{Admission, Beside, Pool};
use dormouse_proxy::session::Shared;
use dormouse_proxy::stats::Ledger;
use dormouse_proxy::stats::count::Beginning;
use dormouse_proxy::stats::counters::ServerCounters;
use dormouse_proxy::stats::sessions::Sessions;
use dormouse_proxy::upstream::WakeableServer;
use dormouse_proxy::upstream::{ServerHandle, ServerView, Service};

/// Everything that runs.
#[derive(Debug)]
pub struct Running {
    /// Where lines go.
    pub log: Log,
    /// What is counted of all.
    pub ledger: Arc<Ledger>,
    /// How many sessions fit.
    pub pool: Arc<Pool>,
    /// Since when it runs, on the wall.
    pub started: SystemTime,
    beside: Mutex<Beside>,
    services: Mutex<Arc<Vec<RunningService>>>,
}

/// A service: where it listens and what is behind.
#[derive(Debug)]
pub struct RunningService {
    /// Its name.
    pub name: String,
    /// Where clients arrive.
    pub listen: Vec<String>,
    /// Who is let in.
    pub admission: Arc<Admission>,
    /// What its sessions share.
    pub shared: Arc<Shared>,
    /// How many clients are held.
    pub hold_max: u32,
    /// How servers are chosen, in `HAProxy`'s words.
    pub algo: &'static str,
    servers: Vec<Facts>,
}

/// What does not change of a server.
#[derive(Debug)]
struct Facts {
    name: String,
    to: Target,
    address: String,
    weight: u32,
    wakes: bool,
}

/// A server of a service, as it is now.
#[derive(Debug)]
pub struct RunningServer<'a> {
    /// Which one it is.
    pub index: usize,
    /// Its name in its service.
    pub name: &'a str,
    /// Where it is: of a name's servers, the one that has this server.
    pub address: Cow<'a, str>,
    /// Where it is by the configuration.
    pub to: &'a Target,
    /// Its share of the sessions by the configuration.
    pub configured_weight: u32,
    /// Something wakes it.
    pub wakes: bool,
    /// What is counted of it.
    pub counters: Option<&'a ServerCounters>,
    /// What the pool knows of it, if there is one.
    pub view: Option<ServerView>,
    service: &'a Service,
    /// Since when all is counted.
    beginning: Beginning,
}

impl<'a> RunningServer<'a> {
    /// What wakes it, if it sleeps at all.
    pub fn sleeper(&self) -> Option<&'a Arc<WakeableServer>> {
        self.service.wakeable(self.index)
    }

    /// Whether it is there: not where a slot is empty.
    pub fn presence(&self) -> SlotState {
        self.view.as_ref().map(|view| view.slot_state).unwrap_or_default()
    }

    /// What an administrator lets it have, or what comes to the same: an empty server is in maintenance.
    pub fn admin(&self) -> AdminState {
        let alone = || self.service.admin(self.index);
        self.view.as_ref().map_or_else(alone, |view| view.admin)
    }

    /// What an administrator wants of it from now on, and of whoever has its slot later. Drained, or in
    /// maintenance, it sleeps as soon as nobody uses it.
    pub fn set_admin(&self, admin: AdminState) {
        self.service.set_admin(self.index, admin);
    }

    /// For who wants to change something about it; `None` where it has no rules of its own.
    pub fn handle(&self) -> Option<ServerHandle> {
        self.service.server(self.name)
    }

    /// Its share of the sessions.
    pub fn weight(&self) -> u32 {
        self.view.as_ref().map_or(self.configured_weight, |view| view.weight)
    }

    /// Whether it only serves while no other does.
    pub fn is_backup(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.backup)
    }

    /// Whether checks find that it is down.
    pub fn is_down(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.is_checked && !view.is_up)
    }

    /// For how long it has stood as it stands: as checks and an administrator tell, or in its state if it sleeps.
    pub fn since(&self) -> Duration {
        match (self.sleeper(), &self.view) {
            (Some(sleeper), _) if !self.is_down() => sleeper.state().1.elapsed(),
            (_, Some(view)) => view.since.elapsed(),
            _ => self.beginning.elapsed(),
        }
    }
}

impl Running {
    /// An empty one.
    pub fn new(ledger: Arc<Ledger>, pool: Arc<Pool>, log: Log) -> Arc<Self> {
        let started = SystemTime::now();
        Arc::new(Self { log, ledger, pool, started, beside: Mutex::default(), services: Mutex::default() })
    }

    /// These need descriptors beside sessions from now on.
    pub fn set_beside(&self, beside: Beside) {
        *self.beside.lock().unwrap_or_else(PoisonError::into_inner) = beside;
    }

    /// What needs descriptors beside sessions.
    pub fn beside(&self) -> Beside {
        *self.beside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are all services from now on.
    pub fn replace(&self, services: Vec<RunningService>) {
        *self.services.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(services);
    }

    /// The services, in the order in which they were written.
    pub fn services(&self) -> Arc<Vec<RunningService>> {
        Arc::clone(&self.services.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The sessions one by one.
    pub fn sessions(&self) -> Option<&Arc<Sessions>> {
        self.ledger.sessions()
    }

    /// How long it runs.
    pub fn uptime(&self) -> Duration {
        self.ledger.beginning.elapsed()
    }
}

impl RunningService {
    /// A service that has begun to run.
    pub fn new(
        config: &ServiceConfig,
        listen: Vec<String>,
        admission: &Arc<Admission>,
        shared: &Arc<Shared>,
    ) -> Self {
        let facts = config.servers.iter().map(|server| Facts {
            name: server.name.clone(),
            to: server.to.clone(),
            address: server.to.to_string(),
            weight: server.weight,
            wakes: server.wake.is_some(),
        });
        Self {
            name: config.name.clone(),
            listen,
            admission: Arc::clone(admission),
            shared: Arc::clone(shared),
            hold_max: config.hold.max.get(),
            algo: config.balance.word(),
            servers: facts.collect(),
        }
    }

    /// What is counted of it.
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// Its servers.
    pub fn servers(&self) -> impl Iterator<Item = RunningServer<'_>> {
        let mut views = self.shared.service.servers().into_iter();
        self.servers.iter().enumerate().map(move |(index, facts)| {
            let view = views.next();
            let address = view.as_ref().map(|view| Cow::Owned(view.address.clone()));
            RunningServer {
                index,
                name: &facts.name,
                address: address.unwrap_or(Cow::Borrowed(&facts.address)),
                to: &facts.to,
                configured_weight: facts.weight,
                wakes: facts.wakes,
                counters: self.shared.servers.get(index).map(|server| &server.counters),
                view,
                service: &self.shared.service,
                beginning: self.ledger().beginning,
            }
        })
    }

    /// How often it was without a server that takes sessions, for how long in all, and for how long it has been as it
    /// is.
    pub fn outages(&self) -> (u64, Duration, Duration) {
        if let Some(outages) = self.shared.service.outages() {
            return (outages.count, outages.lasted(Instant::now()), outages.since.elapsed());
        }
        let since = self.servers().next().map(|server| server.since());
        (0, Duration::ZERO, since.unwrap_or_else(|| self.ledger().beginning.elapsed()))
    }

    /// The server of this name.
    pub fn server(&self, name: &str) -> Option<RunningServer<'_>> {
        self.servers().find(|server| server.name == name)
    }
}

/// The service of this name.
pub(super) fn service<'a>(services: &'a [RunningService], name: &str) -> Option<&'a RunningService> {
    services.iter().find(|service| service.name == name)
}

/// What of a name does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Backend,
    Server,
}

impl Missing {
    /// In `HAProxy`'s words.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Backend => "No such backend.",
            Self::Server => "No such server.",
        }
    }
}

pub(super) fn find<'a>(
    services: &'a [RunningService],
    name: &ServerName,
) -> Result<(&'a RunningService, RunningServer<'a>), Missing> {
    let service = service(services, &name.backend).ok_or(Missing::Backend)?;
    Ok((service, service.server(&name.server).ok_or(Missing::Server)?))
}

/// The servers that are meant.
pub(super) fn servers_of<'a>(
    services: &'a [RunningService],
    whom: &Selector,
) -> Result<(&'a RunningService, Vec<RunningServer<'a>>), Missing> {
    match whom {
        Selector::Service(name) => {
            let service = service(services, name).ok_or(Missing::Backend)?;
            Ok((service, service.servers().collect()))
        }
        Selector::Server(name) => find(services, name).map(|(service, server)| (service, vec![server])),
    }
}
