//! Listeners that outlive us: the service manager keeps their descriptors (`FileDescriptorStoreMax=`) and passes them
//! by their names when we are started again.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use dormouse_config::model::{Config, Listen};
use dormouse_log::{Level, Log};
use dormouse_proxy::listener::{self, Listener};
use dormouse_proxy::server::OpenListener;
use dormouse_sys::event_loop::register;
use dormouse_sys::listen_fds::PassedFd;
use dormouse_sys::notify::Notifier;
use tokio::io::Interest;
use tokio::time::timeout;

use super::fdname;
use super::standing::Standing;

/// A manager that does not say for so long that it has closed a listener is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the manager keeps for us.
#[derive(Debug)]
pub(super) struct Store {
    manager: Notifier,
    /// How many descriptors it keeps.
    room: usize,
    kept: BTreeSet<String>,
    /// It was told that there is no room.
    complained: bool,
}

/// What came back, until a service takes it.
#[derive(Debug, Default)]
pub(super) struct Stored {
    listeners: BTreeMap<String, (OwnedFd, Option<(u64, u64)>)>,
    /// The names of all that came back.
    names: BTreeSet<String>,
}

impl Stored {
    /// Takes what is ours from what was passed, what we had woken apart; the rest comes from socket units.
    pub(super) fn pick(passed: &mut Vec<PassedFd>) -> (Self, Option<OwnedFd>) {
        let (mut stored, mut state) = (Self::default(), None);
        for PassedFd { fd, name } in std::mem::take(passed) {
            if name == fdname::STATE {
                state = Some(fd);
            } else if let Some((key, identity)) = fdname::parse(&name) {
                // One that is there twice came last last.
                stored.listeners.insert(key.to_owned(), (fd, identity));
            } else {
                passed.push(PassedFd { fd, name });
                continue;
            }
            stored.names.insert(name);
        }
        (stored, state)
    }

    /// Gives the names of those that no service of this configuration takes. They are ours no more.
    pub(super) fn unwanted(&mut self, config: &Config) -> Vec<String> {
        let services = config.services.iter();
        let keys = services.flat_map(|service| {
            service.listen.iter().filter_map(|listen| fdname::key(&service.name, listen))
        });
        let keys: BTreeSet<_> = keys.collect();
        let (wanted, unwanted) =
            std::mem::take(&mut self.listeners).into_iter().partition(|(key, _)| keys.contains(key));
        self.listeners = wanted;
        let unwanted: BTreeMap<String, (OwnedFd, Option<(u64, u64)>)> = unwanted;
        unwanted.iter().filter_map(|(key, (_, identity))| fdname::with_identity(key, *identity)).collect()
    }

    /// The listener that is meant, if it came back and is what it was.
    pub(super) fn take(&mut self, service: &str, listen: &Listen, log: &Log) -> Option<Listener> {
        let Listen::Open { address, .. } = listen else { return None };
        let (fd, identity) = self.listeners.remove(&fdname::key(service, listen)?)?;
        let listener = listener::adopt(fd, address, identity)?;
        if let Some(Err(error)) = listen.file().map(|options| listener.set_file_permissions(options)) {
            log.line(Level::Warning, format_args!("{error}."));
        }
        Some(listener)
    }
}

impl Store {
    /// The manager's store, if it keeps anything for us: `FDSTORE` says how much (systemd 254 sets it; for older ones
    /// the unit has to).
    pub(super) fn of(manager: Notifier) -> Option<Self> {
        let room = std::env::var("FDSTORE").ok()?.parse().ok().filter(|room| *room > 0)?;
        Some(Self { manager, room, kept: BTreeSet::new(), complained: false })
    }

    /// Knows what came back.
    pub(super) fn had(&mut self, stored: &Stored) {
        self.kept.extend(stored.names.iter().cloned());
    }

    /// Has the manager close what it keeps of these listeners, and waits until it has: as long as it has them nobody else
    /// can listen there. False: it has none of them.
    pub(super) async fn let_go(&mut self, names: Vec<String>, log: &Log) -> bool {
        let mut told = false;
        for name in names {
            told |= self.kept.contains(&name) && self.remove(&name, log);
        }
        if !told {
            return false;
        }
        let waited = async {
            let barrier = register(self.manager.barrier()?, Interest::READABLE)?;
            timeout(PATIENCE, barrier.readable()).await?.map(drop)
        };
        if let Err(error) = waited.await {
            log.line(
                Level::Warning,
                format_args!("The service manager does not say whether it has closed listeners: {error}."),
            );
        }
        true
    }

    fn remove(&mut self, name: &str, log: &Log) -> bool {
        let removed = self.manager.remove_stored_fds(name);
        match removed {
            Ok(()) => drop(self.kept.remove(name)),
            Err(error) => log.line(
                Level::Warning,
                format_args!("The service manager was not told to close a listener that it keeps: {error}."),
            ),
        }
        removed.is_ok()
    }

    /// Sees to it that the listeners of these services are kept, and nothing else of ours but the state.
    pub(super) fn keep_listeners(&mut self, services: &[Standing], log: &Log) {
        let mut wanted = BTreeMap::new();
        for Standing { config, listeners, .. } in services {
            for (listen, listeners) in config.listen.iter().zip(listeners) {
                for listener in listeners.iter().filter_map(OpenListener::listener) {
                    wanted.extend(name(&config.name, listen, listener).map(|name| (name, listener)));
                }
            }
        }
        let gone: Vec<_> = self
            .kept
            .iter()
            .filter(|name| *name != fdname::STATE && !wanted.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            self.remove(&name, log);
        }
        for (name, listener) in wanted {
            self.keep(&name, listener.socket().as_fd(), log);
        }
    }

    /// Has a descriptor kept under this name.
    pub(super) fn keep(&mut self, name: &str, fd: BorrowedFd<'_>, log: &Log) {
        if self.kept.contains(name) {
            return;
        }
        if self.kept.len() >= self.room {
            if !std::mem::replace(&mut self.complained, true) {
                log.line(
                    Level::Warning,
                    format_args!(
                        "The service manager keeps only {} descriptors for us, so some listeners are closed in a \
                         restart. Raise FileDescriptorStoreMax=.",
                        self.room
                    ),
                );
            }
            return;
        }
        match self.manager.send_with_fd(&format!("FDSTORE=1\nFDNAME={name}"), fd) {
            Ok(()) => drop(self.kept.insert(name.to_owned())),
            Err(error) => log.line(
                Level::Warning,
                format_args!("The service manager did not take a descriptor for a restart: {error}."),
            ),
        }
    }
}

/// By which name a listener is kept.
pub(super) fn name(service: &str, listen: &Listen, listener: &Listener) -> Option<String> {
    fdname::with_identity(&fdname::key(service, listen)?, listener.file_identity())
}
