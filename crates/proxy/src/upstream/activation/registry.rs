//! The registry of wakeable servers. A server stays the same one while services come, change and go, as long as a
//! service or one of its sessions needs it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dormouse_activate::ActivatorConfig;
use dormouse_core::activation::Policy;
use dormouse_log::Log;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

use super::driver::Driver;
use super::group::{Group, Groups};
use super::settings::ActivationSettings;
use crate::upstream::wakeable::WakeableServer;

/// All wakeable servers, each with its driver.
#[derive(Debug, Default)]
pub struct Registry {
    entries: HashMap<ServerId, RegistryEntry>,
    groups: Groups,
    drivers: JoinSet<()>,
    /// Notified, for each service, when a waiting slot becomes free.
    capacities: HashMap<String, Arc<Notify>>,
    /// The removed servers whose drivers have not ended yet, or whose workloads could not be stopped.
    removed: HashMap<ServerId, RemovedServer>,
    /// Notified when [`Self::woken`] may have changed.
    changed: Arc<Notify>,
    /// The servers that dormouse had started before its own restart, and that no service has claimed yet.
    restored: HashSet<WokenServer>,
}

/// A server that dormouse has started, and that keeps running when dormouse ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WokenServer {
    /// The name of the service.
    pub service: String,
    /// The server's address.
    pub to: String,
    /// The number of earlier servers of the service with the same address.
    pub number: usize,
    /// The activator that started the server.
    pub wake: String,
}

/// The identity of a wakeable server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::upstream) struct ServerId {
    /// The name of the service.
    pub(in crate::upstream) service: String,
    /// The server's address.
    pub(in crate::upstream) to: String,
    /// The number of earlier servers of the service with the same address.
    pub(in crate::upstream) number: usize,
}

impl ServerId {
    fn woken_by(&self, activator: &ActivatorConfig) -> WokenServer {
        let Self { service, to, number } = self.clone();
        WokenServer { service, to, number, wake: activator.to_string() }
    }
}

/// A server and its driver.
#[derive(Debug)]
struct RegistryEntry {
    server: Arc<WakeableServer>,
    settings: watch::Sender<Arc<ActivationSettings>>,
    /// Makes the driver end.
    end: Arc<Notify>,
    /// Closed when the driver has ended.
    ended: oneshot::Receiver<()>,
    /// Counts the services and sessions that need the server.
    keep_alive: Arc<()>,
}

/// A server that is being stopped, because no service has it any more.
#[derive(Debug)]
struct RemovedServer {
    server: Arc<WakeableServer>,
    activator: ActivatorConfig,
    /// Closed when the driver has ended.
    ended: oneshot::Receiver<()>,
}

impl RemovedServer {
    fn is_over(&mut self) -> bool {
        let has_driver = matches!(self.ended.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        !has_driver && !self.server.is_owned()
    }
}

/// Keeps a server in the registry until it is dropped.
#[derive(Debug)]
pub(in crate::upstream) struct KeepAlive(#[expect(dead_code, reason = "held to be counted")] Arc<()>);

impl Registry {
    /// Returns the server of this identity. A server that exists gets the new policy and settings. Otherwise a new
    /// server called `name` is registered and its driver started.
    pub(in crate::upstream) fn get_or_start(
        &mut self,
        id: &ServerId,
        name: &str,
        policy: Policy,
        settings: ActivationSettings,
        log: &Log,
    ) -> (Arc<WakeableServer>, KeepAlive) {
        if let Some(entry) = self.entries.get(id) {
            entry.server.set_policy(policy);
            // The driver applies them when it is not busy.
            entry.settings.send_replace(Arc::new(settings));
            return (Arc::clone(&entry.server), KeepAlive(Arc::clone(&entry.keep_alive)));
        }
        let woken = id.woken_by(&settings.activator);
        let removed = self.removed.remove(id);
        // Its workload may run still, if it cannot be stopped.
        let is_left = removed
            .as_ref()
            .is_some_and(|removed| removed.server.is_owned() && removed.activator == settings.activator);
        let (capacity, changed) = (self.capacity(&id.service), Arc::clone(&self.changed));
        let server = WakeableServer::new(name.to_owned(), policy, capacity, changed, log.clone());
        let (settings, received_settings) = watch::channel(Arc::new(settings));
        let (driver_ended, ended) = oneshot::channel();
        let end = Arc::new(Notify::new());
        let driver = Driver {
            server: Arc::clone(&server),
            settings: received_settings,
            log: log.clone(),
            predecessor: removed.map(|removed| removed.ended),
            started_by_dormouse: self.restored.remove(&woken) || is_left,
            ended: driver_ended,
        };
        self.drivers.spawn(driver.run(Arc::clone(&end)));
        let keep_alive = Arc::new(());
        let entry = RegistryEntry {
            server: Arc::clone(&server),
            settings,
            end,
            ended,
            keep_alive: Arc::clone(&keep_alive),
        };
        self.entries.insert(id.clone(), entry);
        (server, KeepAlive(keep_alive))
    }

    /// Returns what is notified when a waiting slot of this service becomes free.
    pub(in crate::upstream) fn capacity(&mut self, service: &str) -> Arc<Notify> {
        Arc::clone(self.capacities.entry(service.to_owned()).or_default())
    }

    /// Returns the exclusive group of this name.
    pub(in crate::upstream) fn group(&mut self, name: &str) -> Arc<Group> {
        self.groups.get(name)
    }

    /// Removes the servers that no service and no session needs any more. Their drivers stop them.
    pub fn remove_unused(&mut self) {
        while self.drivers.try_join_next().is_some() {}
        self.removed.retain(|_, removed| !removed.is_over());
        let is_unused = |entry: &RegistryEntry| Arc::strong_count(&entry.keep_alive) == 1;
        let unused: Vec<ServerId> =
            self.entries.iter().filter(|(_, entry)| is_unused(entry)).map(|(id, _)| id.clone()).collect();
        for id in unused {
            if let Some(RegistryEntry { end, ended, server, settings, .. }) = self.entries.remove(&id) {
                end.notify_one();
                let activator = settings.borrow().activator.clone();
                self.removed.insert(id, RemovedServer { server, activator, ended });
                self.changed.notify_one();
            }
        }
        self.capacities.retain(|_, capacity| Arc::strong_count(capacity) > 1);
        self.groups.remove_unused();
    }

    /// Restores which servers dormouse had started before its own restart. To be called before the servers are
    /// registered.
    pub fn restore(&mut self, woken: Vec<WokenServer>) {
        self.restored.extend(woken);
    }

    /// Forgets the restored servers that no service has.
    pub fn forget_restored(&mut self) {
        self.restored.clear();
    }

    /// Returns the servers that dormouse has started and that keep running when it ends, until their processes are gone.
    pub fn woken(&self) -> Vec<WokenServer> {
        let owned = self.entries.iter().filter(|(_, entry)| entry.server.is_owned());
        let activators = owned.map(|(id, entry)| (id, entry.settings.borrow().activator.clone()));
        let stopping = self.removed.iter().filter(|(_, removed)| removed.server.is_owned());
        let stopping = stopping.map(|(id, removed)| (id, removed.activator.clone()));
        let mut woken: Vec<_> = activators
            .chain(stopping)
            .filter(|(_, activator)| activator.properties().survives_crash)
            .map(|(id, activator)| id.woken_by(&activator))
            .collect();
        woken.sort();
        woken
    }

    /// Returns the names of the servers that dormouse has started and will stop.
    pub fn owned_names(&self) -> Vec<String> {
        let owned = self.entries.values().filter(|entry| entry.server.is_owned());
        owned.map(|entry| entry.server.name().to_owned()).collect()
    }

    /// Waits until [`Self::woken`] may have changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Stops all servers that dormouse has started. Returns those that could not be stopped.
    pub async fn shut_down(mut self) -> Vec<WokenServer> {
        for entry in self.entries.values() {
            entry.end.notify_one();
        }
        while self.drivers.join_next().await.is_some() {}
        self.woken()
    }
}
