//! The registry of wakeable servers and of the workloads that they lead to. A server stays the same one while services
//! come, change and go, as long as a service or one of its sessions needs it. Servers that name the same workload share
//! it.

mod workloads;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use dormouse_activate::{ActivatorConfig, WorkloadId};
use dormouse_config::model::ServiceConfig;
use dormouse_core::activation::Policy;
use dormouse_log::Log;
use tokio::sync::Notify;

use self::workloads::{WorkloadKey, Workloads};
use super::group::{Group, Groups};
use super::settings::{ActivationSettings, MemberSettings, PortSettings, WorkloadSettings};
use crate::upstream::wakeable::WakeableServer;

/// All wakeable servers, and their workloads.
#[derive(Debug, Default)]
pub struct Registry {
    entries: HashMap<ServerId, RegistryEntry>,
    /// Servers that lead to another workload since a reload. Sessions still use the former one.
    former: Vec<RegistryEntry>,
    workloads: Workloads,
    groups: Groups,
    /// Notified, for each service, when a waiting slot becomes free.
    capacities: HashMap<String, Arc<Notify>>,
    /// Notified when [`Self::woken`] may have changed.
    changed: Arc<Notify>,
    /// The servers that dormouse had started before its own restart, and that no service has claimed yet.
    restored: HashSet<WokenServer>,
    /// The workloads of these servers.
    restored_workloads: HashSet<WorkloadId>,
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
    service: String,
    /// The server's address.
    to: String,
    /// The number of earlier servers of the service with the same address.
    number: usize,
}

impl ServerId {
    /// Returns the identity of the server of this number.
    pub(in crate::upstream) fn of(config: &ServiceConfig, number: usize) -> Option<Self> {
        let server = config.servers.get(number)?;
        let before = config.servers.iter().take(number).filter(|other| other.to == server.to);
        Some(Self { service: config.name.clone(), to: server.to.to_string(), number: before.count() })
    }

    #[cfg(test)]
    pub(in crate::upstream) fn new(service: &str, to: &str, number: usize) -> Self {
        Self { service: service.to_owned(), to: to.to_owned(), number }
    }

    fn woken_by(&self, activator: &ActivatorConfig) -> WokenServer {
        let Self { service, to, number } = self.clone();
        WokenServer { service, to, number, wake: activator.to_string() }
    }
}

/// A server.
#[derive(Debug)]
struct RegistryEntry {
    server: Arc<WakeableServer>,
    workload: WorkloadKey,
    policy: Policy,
    activation: ActivationSettings,
    port: PortSettings,
    /// Counts the services and sessions that need the server.
    keep_alive: Arc<()>,
}

/// Keeps a server in the registry until it is dropped.
#[derive(Debug)]
pub(in crate::upstream) struct KeepAlive(#[expect(dead_code, reason = "held to be counted")] Arc<()>);

impl Registry {
    /// Prepares for the services of the next configuration. A workload whose servers all name the same other workload
    /// becomes that one when it is not in use.
    pub fn expect(&mut self, services: &[ServiceConfig]) {
        let mut wanted: HashMap<WorkloadKey, Vec<WorkloadId>> = HashMap::new();
        for service in services {
            for (number, server) in service.servers.iter().enumerate() {
                let (Some(id), Some(wake)) = (ServerId::of(service, number), &server.wake) else { continue };
                if self.restored.contains(&id.woken_by(wake)) {
                    self.restored_workloads.insert(wake.workload());
                }
                if let Some(entry) = self.entries.get(&id) {
                    wanted.entry(entry.workload).or_default().push(wake.workload());
                }
            }
        }
        for (key, mut ids) in wanted {
            let Some(first) = ids.pop() else { continue };
            if ids.iter().all(|other| *other == first) {
                self.workloads.replace(key, first);
            }
        }
    }

    /// Returns the server of this identity. A server that exists gets the new settings. Otherwise a new server is
    /// registered. It leads to the workload that the settings name, which is registered and driven if it is new, too.
    pub(in crate::upstream) fn get_or_start(
        &mut self,
        id: &ServerId,
        settings: MemberSettings,
        log: &Log,
    ) -> (Arc<WakeableServer>, KeepAlive) {
        let MemberSettings { name, policy, hold, activation, port } = settings;
        let workload_id = activation.activator.workload();
        let known = self.workloads.find(&workload_id);
        if let Some(entry) = self.entries.get_mut(id).filter(|entry| known == Some(entry.workload)) {
            (entry.policy, entry.activation, entry.port) = (policy, activation, port);
            entry.server.set_hold_limits(hold);
            let (server, key) = (Arc::clone(&entry.server), entry.workload);
            let keep_alive = KeepAlive(Arc::clone(&entry.keep_alive));
            self.update(key);
            return (server, keep_alive);
        }
        if let Some(former) = self.entries.remove(id) {
            let before = former.workload;
            self.workloads.leave(before, id);
            self.former.push(former);
            self.update(before);
        }
        let known = known.and_then(|key| Some((key, self.workloads.join(key, id)?)));
        let (key, workload) = known.unwrap_or_else(|| {
            let started_by_dormouse = self.restored_workloads.contains(&workload_id)
                // A removed workload runs still, if it could not be stopped.
                || self.workloads.is_left(&workload_id);
            self.workloads.add(&activation, policy.clone(), started_by_dormouse, id, &self.changed, log)
        });
        let server = WakeableServer::new(name, &workload, self.capacity(&id.service), hold);
        let keep_alive = Arc::new(());
        let entry = RegistryEntry {
            server: Arc::clone(&server),
            workload: key,
            policy,
            activation,
            port,
            keep_alive: Arc::clone(&keep_alive),
        };
        self.entries.insert(id.clone(), entry);
        self.update(key);
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

    /// Removes the servers that no service and no session needs any more. The drivers stop workloads without servers.
    pub fn remove_unused(&mut self) {
        self.workloads.forget_ended();
        let is_unused = |entry: &RegistryEntry| Arc::strong_count(&entry.keep_alive) == 1;
        let unused: Vec<ServerId> =
            self.entries.iter().filter(|(_, entry)| is_unused(entry)).map(|(id, _)| id.clone()).collect();
        let (mut removed, former): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.former).into_iter().partition(is_unused);
        self.former = former;
        for id in unused {
            if let Some(entry) = self.entries.remove(&id) {
                self.workloads.leave(entry.workload, &id);
                removed.push(entry);
            }
        }
        for entry in removed {
            if entry.server.leave() {
                self.workloads.remove(entry.workload);
            } else {
                self.update(entry.workload);
            }
            self.changed.notify_one();
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
        self.restored_workloads.clear();
    }

    /// Returns the servers that dormouse has started and that keep running when it ends, until their processes are gone.
    pub fn woken(&self) -> Vec<WokenServer> {
        let owned = self.entries.iter().filter(|(_, entry)| entry.server.workload().is_owned());
        let lasting = owned.filter(|(_, entry)| entry.activation.activator.properties().survives_crash);
        let mut woken: Vec<_> = lasting.map(|(id, entry)| id.woken_by(&entry.activation.activator)).collect();
        woken.extend(self.workloads.stopping());
        woken.sort();
        woken.dedup();
        woken
    }

    /// Returns the names of the workloads that dormouse has started and will stop, in order.
    pub fn owned_names(&self) -> BTreeSet<String> {
        let workloads = self.entries.values().map(|entry| entry.server.workload());
        workloads.filter(|workload| workload.is_owned()).map(|workload| workload.name()).collect()
    }

    /// Waits until [`Self::woken`] may have changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Stops all workloads that dormouse has started. Returns the servers of those that could not be stopped.
    pub async fn shut_down(mut self) -> Vec<WokenServer> {
        self.workloads.shut_down().await;
        self.woken()
    }

    /// Gives a workload the settings of all of its servers together. The driver applies them when it is not busy.
    fn update(&self, key: WorkloadKey) {
        let members: Vec<_> =
            self.workloads.members(key).iter().filter_map(|id| self.entries.get(id)).collect();
        let Some((first, others)) = members.split_first() else { return };
        let (mut policy, mut activation) = (first.policy.clone(), first.activation.clone());
        for entry in others {
            policy = policy.combined(&entry.policy);
            activation = activation.combined(&entry.activation);
        }
        let ports = members.iter().map(|entry| (Arc::clone(&entry.server), entry.port.clone())).collect();
        self.workloads.update(key, policy, WorkloadSettings { activation, ports });
    }
}
