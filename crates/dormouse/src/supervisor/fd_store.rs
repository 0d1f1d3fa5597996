//! Listeners that outlive the process: the service manager keeps their descriptors (`FileDescriptorStoreMax=`) and
//! passes them to the next process under their names.

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

use super::fd_name;
use super::service::ActiveService;

/// The longest wait for the service manager to confirm that it closed a listener.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The service manager's descriptor store.
#[derive(Debug)]
pub(super) struct FdStore {
    manager: Notifier,
    /// The largest number of descriptors in it.
    capacity: usize,
    /// The names of the descriptors in it.
    kept: BTreeSet<String>,
    /// The log has the warning that the store is full.
    warned: bool,
}

/// The listeners that came back from the store, until a service takes them.
#[derive(Debug, Default)]
pub(super) struct StoredListeners {
    listeners: BTreeMap<String, (OwnedFd, Option<(u64, u64)>)>,
    /// The names of all descriptors that came back.
    names: BTreeSet<String>,
}

impl StoredListeners {
    /// Takes the stored descriptors out of the passed ones: the listeners, and the wake state. The rest comes from socket
    /// units.
    pub(super) fn split_off(passed: &mut Vec<PassedFd>) -> (Self, Option<OwnedFd>) {
        let (mut stored, mut state) = (Self::default(), None);
        for PassedFd { fd, name } in std::mem::take(passed) {
            if name == fd_name::STATE {
                state = Some(fd);
            } else if let Some((key, identity)) = fd_name::parse(&name) {
                // If two have the same key, the later one is newer.
                stored.listeners.insert(key.to_owned(), (fd, identity));
            } else {
                passed.push(PassedFd { fd, name });
                continue;
            }
            stored.names.insert(name);
        }
        (stored, state)
    }

    /// Closes the listeners that no service of this configuration uses. Returns their names.
    pub(super) fn take_unused(&mut self, config: &Config) -> Vec<String> {
        let services = config.services.iter();
        let keys = services.flat_map(|service| {
            service.listen.iter().filter_map(|listen| fd_name::key(&service.name, listen))
        });
        let keys: BTreeSet<_> = keys.collect();
        let (used, unused) =
            std::mem::take(&mut self.listeners).into_iter().partition(|(key, _)| keys.contains(key));
        self.listeners = used;
        let unused: BTreeMap<String, (OwnedFd, Option<(u64, u64)>)> = unused;
        unused.iter().filter_map(|(key, (_, identity))| fd_name::with_identity(key, *identity)).collect()
    }

    /// Takes the stored socket of this listener, if there is one and its socket file was not replaced.
    pub(super) fn take(&mut self, service: &str, listen: &Listen, log: &Log) -> Option<Listener> {
        let Listen::Open { address, .. } = listen else { return None };
        let (fd, identity) = self.listeners.remove(&fd_name::key(service, listen)?)?;
        let listener = listener::adopt(fd, address, identity)?;
        if let Some(Err(error)) = listen.file().map(|options| listener.set_file_permissions(options)) {
            log.line(Level::Warning, format_args!("{error}."));
        }
        Some(listener)
    }
}

impl FdStore {
    /// Returns the store, if the service manager offers one. `FDSTORE` contains its capacity: systemd 254 sets the
    /// variable, and for older versions the unit has to.
    pub(super) fn from_env(manager: Notifier) -> Option<Self> {
        let capacity = std::env::var("FDSTORE").ok()?.parse().ok().filter(|capacity| *capacity > 0)?;
        Some(Self { manager, capacity, kept: BTreeSet::new(), warned: false })
    }

    /// Records which descriptors are in the store already.
    pub(super) fn set_stored(&mut self, stored: &StoredListeners) {
        self.kept.extend(stored.names.iter().cloned());
    }

    /// Asks the service manager to close these listeners, and waits until it has: until then their addresses are in use.
    /// Returns false if none of them is stored.
    pub(super) async fn release(&mut self, names: Vec<String>, log: &Log) -> bool {
        let mut asked = false;
        for name in names {
            asked |= self.kept.contains(&name) && self.remove(&name, log);
        }
        if !asked {
            return false;
        }
        let waited = async {
            let barrier = register(self.manager.barrier()?, Interest::READABLE)?;
            timeout(CLOSE_TIMEOUT, barrier.readable()).await?.map(drop)
        };
        if let Err(error) = waited.await {
            log.line(
                Level::Warning,
                format_args!("The service manager did not confirm that it closed stored listeners: {error}."),
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
                format_args!(
                    "Cannot remove a listener from the service manager's descriptor store: {error}."
                ),
            ),
        }
        removed.is_ok()
    }

    /// Stores the listeners of these services, and removes all other descriptors except the wake state.
    pub(super) fn keep_listeners(&mut self, services: &[ActiveService], log: &Log) {
        let mut wanted = BTreeMap::new();
        for ActiveService { config, listeners, .. } in services {
            for (listen, listeners) in config.listen.iter().zip(listeners) {
                for listener in listeners.iter().filter_map(OpenListener::listener) {
                    wanted.extend(name(&config.name, listen, listener).map(|name| (name, listener)));
                }
            }
        }
        let gone: Vec<_> = self
            .kept
            .iter()
            .filter(|name| *name != fd_name::STATE && !wanted.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            self.remove(&name, log);
        }
        for (name, listener) in wanted {
            self.keep(&name, listener.socket().as_fd(), log);
        }
    }

    /// Stores a descriptor under this name.
    pub(super) fn keep(&mut self, name: &str, fd: BorrowedFd<'_>, log: &Log) {
        if self.kept.contains(name) {
            return;
        }
        if self.kept.len() >= self.capacity {
            if !std::mem::replace(&mut self.warned, true) {
                log.line(
                    Level::Warning,
                    format_args!(
                        "The service manager's descriptor store is full ({} descriptors), so some listeners close during a restart. Raise FileDescriptorStoreMax=.",
                        self.capacity
                    ),
                );
            }
            return;
        }
        match self.manager.send_with_fd(&format!("FDSTORE=1\nFDNAME={name}"), fd) {
            Ok(()) => drop(self.kept.insert(name.to_owned())),
            Err(error) => log.line(
                Level::Warning,
                format_args!("Cannot store a listener in the service manager's descriptor store: {error}."),
            ),
        }
    }
}

/// Returns the name under which a listener is stored, or `None` if it cannot be stored.
pub(super) fn name(service: &str, listen: &Listen, listener: &Listener) -> Option<String> {
    fd_name::with_identity(&fd_name::key(service, listen)?, listener.file_identity())
}
