//! A service: its servers, and the rules by which clients get to them.

use std::sync::Arc;

use dormouse_config::limit::AtLimit;
use dormouse_config::model::{ServerConfig, ServiceConfig};
use dormouse_core::address::Target;
use dormouse_core::control::AdminState;
use dormouse_core::timespan::TimeSpan;
use tokio::sync::Notify;

use super::acquire::Upstream;
use super::admin::{AdminOverrides, ServerOverride, WeightOverride, configured_state};
use super::rules::ClientRules;
use super::select::{Outages, Pool, ServerHandle, ServerView};
use super::server::Server;
use super::tasks::BackgroundTasks;
use super::wakeable::WakeableServer;
use super::{UpstreamConn, UpstreamRequest};
use crate::refusal::Refusal;
use dormouse_connect::Route;

/// A service: its servers, and the rules by which clients get to them.
#[derive(Debug)]
pub struct Service {
    pub(super) upstream: Upstream,
    /// Notified when a waiting slot becomes free.
    pub(super) capacity: Arc<Notify>,
    pub(super) tasks: BackgroundTasks,
}

impl Service {
    /// Returns a service of one server that dormouse does not start. A client is held for at most `hold_timeout` while
    /// the server takes no connections.
    pub fn unmanaged(route: Route, hold_timeout: TimeSpan) -> Self {
        let rules = ClientRules::hold_only(hold_timeout);
        Self {
            upstream: Upstream { servers: vec![Server::unmanaged(route)], pool: None, rules },
            capacity: Arc::default(),
            tasks: BackgroundTasks::default(),
        }
    }

    /// Gets a connection to a server for a client. The server receives `prefix` before the client's bytes.
    ///
    /// # Errors
    /// The reason why the client gets no server.
    pub fn acquire(
        &self,
        request: UpstreamRequest<'_>,
        prefix: Vec<u8>,
    ) -> impl Future<Output = Result<UpstreamConn, Refusal>> {
        self.upstream.acquire(request, prefix)
    }

    /// Returns whether a client's address matters to the service.
    pub fn needs_client(&self) -> bool {
        self.upstream.rules.wake_allow.is_some() || self.pool().is_some_and(|pool| pool.needs_client())
    }

    /// Returns whether one more client may be accepted while `open` clients are here. It may not while the maximum
    /// number of clients waits and further clients are to stay in the backlog.
    pub fn has_capacity(&self, open: usize) -> bool {
        let rules = &self.upstream.rules;
        if rules.overflow == AtLimit::Refuse {
            return true;
        }
        if self.pool().is_some_and(|pool| !pool.can_queue()) {
            return false;
        }
        if self.upstream.servers.iter().any(Server::is_up) {
            return true;
        }
        let leases: usize = self.wakeable_servers().map(|wakeable| wakeable.load().0).sum();
        open.saturating_sub(leases) < rules.held_max
    }

    /// Waits until [`Self::has_capacity`] may have changed.
    pub async fn capacity_changed(&self) {
        self.capacity.notified().await;
    }

    /// Returns whether a server is at a UNIX socket, so that descriptors of a client get to it.
    pub fn reaches_unix(&self) -> bool {
        self.upstream.servers.iter().any(|server| server.target.route().reaches_unix())
    }

    /// Returns whether a client that arrives now has to wait for a start.
    pub fn is_asleep(&self) -> bool {
        !self.upstream.servers.iter().any(Server::is_up)
    }

    /// Returns the wakeable server of this number. `None`: dormouse does not start that server.
    pub fn wakeable(&self, index: usize) -> Option<&Arc<WakeableServer>> {
        self.upstream.servers.get(index)?.wakeable.as_ref()
    }

    /// Returns the servers that dormouse starts and stops.
    pub fn wakeable_servers(&self) -> impl Iterator<Item = &Arc<WakeableServer>> {
        self.upstream.servers.iter().filter_map(|server| server.wakeable.as_ref())
    }

    /// Returns the servers as they are now, in the configured order. Empty for a service of one server without rules:
    /// the service's own statistics are those of the server.
    pub fn servers(&self) -> Vec<ServerView> {
        self.pool().map(|pool| pool.view()).unwrap_or_default()
    }

    /// Returns the server of this name. `None` also for a service of one server without rules.
    pub fn server(&self, name: &str) -> Option<ServerHandle> {
        ServerHandle::find(self.pool()?, name)
    }

    /// Returns when no server took sessions. `None` for a service of one server without rules.
    pub fn outages(&self) -> Option<Outages> {
        Some(self.pool()?.outages())
    }

    /// Returns the administrative state of the server of this number.
    pub fn admin(&self, index: usize) -> AdminState {
        match self.pool() {
            Some(pool) => pool.admin(index),
            None => self.upstream.servers.get(index).map(|server| server.admin.get()).unwrap_or_default(),
        }
    }

    /// Sets the administrative state of a server. A wakeable server that is drained or in maintenance is stopped as
    /// soon as it is not in use.
    pub fn set_admin(&self, index: usize, state: AdminState) {
        if let Some(pool) = self.pool() {
            pool.set_admin(index, state);
        } else if let Some(server) = self.upstream.servers.get(index) {
            server.admin.set(state);
        }
        if let Some(wakeable) = self.wakeable(index) {
            evict_by_admin(wakeable, state);
        }
    }

    /// Returns what an administrator has changed of the servers. `config` is their configuration.
    pub fn admin_overrides(&self, config: &ServiceConfig) -> AdminOverrides {
        AdminOverrides::collect(config.servers.iter().enumerate().map(|(index, server)| {
            let state = Some(self.admin(index)).filter(|state| *state != configured_state(server));
            (server.name.clone(), ServerOverride { state, weight: self.weight_override(index, server) })
        }))
    }

    fn weight_override(&self, index: usize, server: &ServerConfig) -> Option<WeightOverride> {
        // A server that the DNS assigns to a slot brings its own weight.
        if matches!(server.to, Target::Slot { .. }) {
            return None;
        }
        let (configured, current) = (server.weight, self.pool()?.weight(index)?);
        (configured != current).then_some(WeightOverride { configured, current })
    }

    /// Returns the number of sessions that keep their server to their end, where it was chosen among several.
    pub fn established_sessions(&self) -> usize {
        self.pool().map_or(0, |pool| pool.established())
    }

    /// Ends the background tasks that only matter to the choice of a server, because no further client will ask for
    /// one. Health checks that end sessions go on.
    pub fn retire(&self) {
        self.tasks.retire();
    }

    /// Returns the number of clients that wait for a server.
    #[cfg(test)]
    pub fn queued(&self) -> usize {
        self.pool().map_or(0, |pool| pool.queued())
    }

    fn pool(&self) -> Option<&Arc<Pool>> {
        self.upstream.pool.as_ref()
    }
}

/// Makes a wakeable server stop as soon as it is not in use, unless an administrator wants it to take sessions.
pub(super) fn evict_by_admin(wakeable: &WakeableServer, state: AdminState) {
    wakeable.drain(state != AdminState::Ready);
}
