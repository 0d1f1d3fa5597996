//! The workloads and their drivers.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dormouse_activate::{ActivatorConfig, WorkloadId};
use dormouse_core::activation::Policy;
use dormouse_log::Log;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

use super::{ServerId, WokenServer};
use crate::upstream::activation::driver::Driver;
use crate::upstream::activation::settings::{ActivationSettings, WorkloadSettings};
use crate::upstream::workload::Workload;

/// Identifies a workload while it is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct WorkloadKey(u64);

/// All workloads, each with its driver.
#[derive(Debug, Default)]
pub(super) struct Workloads {
    registered: HashMap<WorkloadKey, RegisteredWorkload>,
    keys: HashMap<WorkloadId, WorkloadKey>,
    drivers: JoinSet<()>,
    /// The removed workloads whose drivers have not ended yet, or that could not be stopped.
    removed: Vec<RemovedWorkload>,
    issued: WorkloadKey,
}

/// A workload and its driver.
#[derive(Debug)]
struct RegisteredWorkload {
    workload: Arc<Workload>,
    id: WorkloadId,
    /// The servers that lead to it.
    members: Vec<ServerId>,
    /// The servers that have led to it.
    servers: HashSet<ServerId>,
    settings: watch::Sender<Arc<WorkloadSettings>>,
    /// Makes the driver end.
    end: Arc<Notify>,
    /// Closed when the driver has ended.
    ended: oneshot::Receiver<()>,
}

/// A workload that is being stopped.
#[derive(Debug)]
struct RemovedWorkload {
    workload: Arc<Workload>,
    id: WorkloadId,
    activator: ActivatorConfig,
    /// The servers that led to it. Its program may still use their addresses.
    servers: HashSet<ServerId>,
    ended: oneshot::Receiver<()>,
}

impl RemovedWorkload {
    fn is_over(&mut self) -> bool {
        let has_driver = matches!(self.ended.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        !has_driver && !self.workload.is_owned()
    }
}

impl Workloads {
    /// Returns the key of a workload.
    pub(super) fn find(&self, id: &WorkloadId) -> Option<WorkloadKey> {
        self.keys.get(id).copied()
    }

    /// Adds a server to a workload. Returns the workload.
    pub(super) fn join(&mut self, key: WorkloadKey, server: &ServerId) -> Option<Arc<Workload>> {
        let registered = self.registered.get_mut(&key)?;
        registered.servers.insert(server.clone());
        registered.members.push(server.clone());
        Some(Arc::clone(&registered.workload))
    }

    /// Removes a server from a workload. Sessions may still use it.
    pub(super) fn leave(&mut self, key: WorkloadKey, server: &ServerId) {
        if let Some(registered) = self.registered.get_mut(&key) {
            registered.members.retain(|member| member != server);
        }
    }

    /// Returns the servers of a workload.
    pub(super) fn members(&self, key: WorkloadKey) -> &[ServerId] {
        self.registered.get(&key).map_or(&[], |registered| &registered.members)
    }

    /// Makes a workload another one, which takes its place when it is not in use. Nothing happens if the other one
    /// exists.
    pub(super) fn replace(&mut self, key: WorkloadKey, id: WorkloadId) {
        let Some(registered) = self.registered.get_mut(&key) else { return };
        if let Entry::Vacant(vacant) = self.keys.entry(id.clone()) {
            vacant.insert(key);
            let before = std::mem::replace(&mut registered.id, id);
            self.keys.remove(&before);
        }
    }

    /// Adds a workload for a first server, and starts its driver. `started_by_dormouse`: it runs, because dormouse had
    /// started it before its own restart.
    pub(super) fn add(
        &mut self,
        activation: &ActivationSettings,
        policy: Policy,
        started_by_dormouse: bool,
        first: &ServerId,
        changed: &Arc<Notify>,
        log: &Log,
    ) -> (WorkloadKey, Arc<Workload>) {
        let id = activation.activator.workload();
        let workload = Workload::new(policy, Arc::clone(changed), log.clone());
        let settings = WorkloadSettings { activation: activation.clone(), ports: Vec::new() };
        let (settings, received_settings) = watch::channel(Arc::new(settings));
        let (driver_ended, ended) = oneshot::channel();
        let end = Arc::new(Notify::new());
        let driver = Driver {
            workload: Arc::clone(&workload),
            settings: received_settings,
            log: log.clone(),
            predecessors: self.take_predecessors(&id, first),
            started_by_dormouse,
            ended: driver_ended,
        };
        self.drivers.spawn(driver.run(Arc::clone(&end)));
        self.issued.0 += 1;
        let registered = RegisteredWorkload {
            workload: Arc::clone(&workload),
            id: id.clone(),
            members: vec![first.clone()],
            servers: HashSet::from([first.clone()]),
            settings,
            end,
            ended,
        };
        self.registered.insert(self.issued, registered);
        self.keys.insert(id, self.issued);
        (self.issued, workload)
    }

    /// Takes the removed workloads that have to end before this one begins.
    fn take_predecessors(&mut self, id: &WorkloadId, server: &ServerId) -> Vec<oneshot::Receiver<()>> {
        let is_predecessor =
            |removed: &RemovedWorkload| removed.id == *id || removed.servers.contains(server);
        let (predecessors, others) = std::mem::take(&mut self.removed).into_iter().partition(is_predecessor);
        self.removed = others;
        let predecessors: Vec<RemovedWorkload> = predecessors;
        predecessors.into_iter().map(|removed| removed.ended).collect()
    }

    /// Returns whether a removed workload is this one, and its processes may exist.
    pub(super) fn is_left(&self, id: &WorkloadId) -> bool {
        self.removed.iter().any(|removed| removed.id == *id && removed.workload.is_owned())
    }

    /// Returns the servers of removed workloads whose processes may exist.
    pub(super) fn stopping(&self) -> impl Iterator<Item = WokenServer> {
        let stopping = self.removed.iter().filter(|removed| removed.workload.is_owned());
        let lasting = stopping.filter(|removed| removed.activator.properties().survives_crash);
        lasting.flat_map(|removed| removed.servers.iter().map(|id| id.woken_by(&removed.activator)))
    }

    /// Gives a workload its settings.
    pub(super) fn update(&self, key: WorkloadKey, policy: Policy, settings: WorkloadSettings) {
        if let Some(registered) = self.registered.get(&key) {
            registered.settings.send_replace(Arc::new(settings));
            registered.workload.set_policy(policy);
        }
    }

    /// Removes a workload without servers. Its driver stops it.
    pub(super) fn remove(&mut self, key: WorkloadKey) {
        if let Some(registered) = self.registered.remove(&key) {
            let RegisteredWorkload { workload, id, servers, settings, end, ended, .. } = registered;
            let activator = settings.borrow().activation.activator.clone();
            self.keys.remove(&id);
            end.notify_one();
            self.removed.push(RemovedWorkload { workload, id, activator, servers, ended });
        }
    }

    /// Forgets the removed workloads that have ended.
    pub(super) fn forget_ended(&mut self) {
        while self.drivers.try_join_next().is_some() {}
        self.removed.retain_mut(|removed| !removed.is_over());
    }

    /// Stops all workloads that dormouse has started.
    pub(super) async fn shut_down(&mut self) {
        for registered in self.registered.values() {
            registered.end.notify_one();
        }
        while self.drivers.join_next().await.is_some() {}
    }
}
