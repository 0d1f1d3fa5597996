//! Listeners that outlive us: the service manager keeps their descriptors (`FileDescriptorStoreMax=`) and passes them
//! by their names when we are started again.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use dormouse_sys::listen_fds::PassedFd;
use dormouse_sys::notify::Notifier;

use super::names;
use super::standing::Standing;
use crate::config::model::Listen;
use crate::ledger::log::{Level, Log};
use crate::life::Door;
use crate::listener::{self, Listener};

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
            if name == names::STATE {
                state = Some(fd);
            } else if let Some((key, identity)) = names::parse(&name) {
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

    /// The listener that is meant, if it came back and is what it was.
    pub(super) fn take(&mut self, service: &str, listen: &Listen) -> Option<Listener> {
        let Listen::Open { address, .. } = listen else { return None };
        let (fd, identity) = self.listeners.remove(&names::key(service, listen)?)?;
        let listener = listener::again(fd, address, identity)?;
        if let Some(options) = listen.file() {
            listener.set_file(options);
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

    /// Sees to it that the listeners of these services are kept, and nothing else of ours but the state.
    pub(super) fn keep_listeners(&mut self, services: &[Standing], log: &Log) {
        let mut wanted = BTreeMap::new();
        for Standing { config, doors, .. } in services {
            for (listen, doors) in config.listen.iter().zip(doors) {
                for listener in doors.iter().filter_map(Door::listener) {
                    let key = names::key(&config.name, listen);
                    let name = key.and_then(|key| names::with_identity(&key, listener.file_identity()));
                    wanted.extend(name.map(|name| (name, listener)));
                }
            }
        }
        let gone: Vec<_> = self
            .kept
            .iter()
            .filter(|name| *name != names::STATE && !wanted.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            self.manager.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
            self.kept.remove(&name);
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
        match self.manager.send_with(&format!("FDSTORE=1\nFDNAME={name}"), fd) {
            Ok(()) => drop(self.kept.insert(name.to_owned())),
            Err(error) => log.line(
                Level::Warning,
                format_args!("The service manager did not take a descriptor for a restart: {error}."),
            ),
        }
    }
}
