//! What an administrator wants of servers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};

use dormouse_config::model::{ServerConfig, ServiceConfig};
use dormouse_core::activation::Eviction;
use dormouse_core::address::Target;
use dormouse_core::control::AdminState;

use super::Service;
use super::sleeper::Sleeper;

/// An administrator's word on a server: it takes sessions until told otherwise.
#[derive(Debug, Default)]
pub(super) struct AdminCell(AtomicU8);

impl AdminCell {
    pub(super) fn new(admin: AdminState) -> Self {
        let state = Self::default();
        state.set(admin);
        state
    }

    fn get(&self) -> AdminState {
        match self.0.load(Ordering::Relaxed) {
            0 => AdminState::Ready,
            1 => AdminState::Drain,
            _ => AdminState::Maint,
        }
    }

    fn set(&self, admin: AdminState) {
        let code = match admin {
            AdminState::Ready => 0,
            AdminState::Drain => 1,
            AdminState::Maint => 2,
        };
        self.0.store(code, Ordering::Relaxed);
    }

    /// Whether it takes new sessions.
    pub(super) fn takes_sessions(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// What an administrator has said of servers that is not what is configured of them, by their names: it goes on for
/// those of the same names when the service is another one.
#[derive(Debug, Clone, Default)]
pub struct Words(HashMap<String, Word>);

#[derive(Debug, Clone, Copy)]
struct Word {
    admin: Option<AdminState>,
    weight: Option<Reweighed>,
}

/// A weight that is not the configured one.
#[derive(Debug, Clone, Copy)]
struct Reweighed {
    configured: u32,
    now: u32,
}

impl Words {
    /// What counts for a server.
    pub(super) fn admin(&self, server: &ServerConfig) -> AdminState {
        self.0.get(&server.name).and_then(|word| word.admin).unwrap_or_else(|| configured(server))
    }

    /// Its share of the sessions. Where another one is configured than when the administrator spoke, that counts, as
    /// with `HAProxy`'s state file.
    pub(super) fn weight(&self, server: &ServerConfig) -> u32 {
        let said = self.0.get(&server.name).and_then(|word| word.weight);
        said.filter(|said| said.configured == server.weight).map_or(server.weight, |said| said.now)
    }
}

impl Service {
    /// What an administrator wants of the server of this number.
    pub fn admin(&self, index: usize) -> AdminState {
        match &self.pool {
            Some(pool) => pool.admin(index),
            None => self.servers.get(index).map(|server| server.admin.get()).unwrap_or_default(),
        }
    }

    /// What an administrator wants of it from now on. Drained, or in maintenance, it sleeps as soon as nobody uses it.
    pub fn set_admin(&self, index: usize, admin: AdminState) {
        if let Some(pool) = &self.pool {
            pool.set_admin(index, admin);
        } else if let Some(server) = self.servers.get(index) {
            server.admin.set(admin);
        }
        if let Some(sleeper) = self.sleeper(index) {
            tell(sleeper, admin);
        }
    }

    /// What an administrator has said of these servers, which are configured so.
    pub fn words(&self, config: &ServiceConfig) -> Words {
        let said = config.servers.iter().enumerate().map(|(index, server)| {
            let admin = Some(self.admin(index)).filter(|admin| *admin != configured(server));
            (server.name.clone(), Word { admin, weight: self.reweighed(index, server) })
        });
        Words(said.filter(|(_, Word { admin, weight })| admin.is_some() || weight.is_some()).collect())
    }

    fn reweighed(&self, index: usize, server: &ServerConfig) -> Option<Reweighed> {
        // Whoever has a slot brings its weight along.
        if matches!(server.to, Target::Slot { .. }) {
            return None;
        }
        let (configured, now) = (server.weight, self.pool.as_ref()?.weight(index)?);
        (configured != now).then_some(Reweighed { configured, now })
    }
}

/// Tells what sleeps whether it still gets sessions.
pub(super) fn tell(sleeper: &Sleeper, admin: AdminState) {
    sleeper.evict(Eviction::Admin, admin != AdminState::Ready);
}

fn configured(server: &ServerConfig) -> AdminState {
    if server.disabled { AdminState::Maint } else { AdminState::Ready }
}
