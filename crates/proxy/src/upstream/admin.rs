//! What an administrator has set for servers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};

use dormouse_config::model::ServerConfig;
use dormouse_core::control::AdminState;

/// The administrative state of the only server of a service.
#[derive(Debug, Default)]
pub(super) struct AdminCell(AtomicU8);

impl AdminCell {
    pub(super) fn new(state: AdminState) -> Self {
        let cell = Self::default();
        cell.set(state);
        cell
    }

    pub(super) fn get(&self) -> AdminState {
        match self.0.load(Ordering::Relaxed) {
            0 => AdminState::Ready,
            1 => AdminState::Drain,
            _ => AdminState::Maint,
        }
    }

    pub(super) fn set(&self, state: AdminState) {
        let code = match state {
            AdminState::Ready => 0,
            AdminState::Drain => 1,
            AdminState::Maint => 2,
        };
        self.0.store(code, Ordering::Relaxed);
    }

    /// Returns whether the server takes new sessions.
    pub(super) fn takes_sessions(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// What an administrator has changed of the configured servers, by their names. A service that replaces another one
/// takes the overrides over.
#[derive(Debug, Clone, Default)]
pub struct AdminOverrides(HashMap<String, ServerOverride>);

/// What an administrator has changed of one server.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerOverride {
    pub(super) state: Option<AdminState>,
    pub(super) weight: Option<WeightOverride>,
}

/// A weight that differs from the configured one.
#[derive(Debug, Clone, Copy)]
pub(super) struct WeightOverride {
    pub(super) configured: u32,
    pub(super) current: u32,
}

impl AdminOverrides {
    /// Collects the overrides of servers. Servers without an override are left out.
    pub(super) fn collect(overrides: impl Iterator<Item = (String, ServerOverride)>) -> Self {
        Self(overrides.filter(|(_, change)| change.state.is_some() || change.weight.is_some()).collect())
    }

    /// Returns the administrative state of a server.
    pub(super) fn state(&self, server: &ServerConfig) -> AdminState {
        let state = self.0.get(&server.name).and_then(|change| change.state);
        state.unwrap_or_else(|| configured_state(server))
    }

    /// Returns the weight of a server. A configured weight that has changed since the override replaces it, as with
    /// `HAProxy`'s state file.
    pub(super) fn weight(&self, server: &ServerConfig) -> u32 {
        let weight = self.0.get(&server.name).and_then(|change| change.weight);
        weight
            .filter(|weight| weight.configured == server.weight)
            .map_or(server.weight, |weight| weight.current)
    }
}

/// Returns the administrative state that is configured for a server.
pub(super) fn configured_state(server: &ServerConfig) -> AdminState {
    if server.disabled { AdminState::Maint } else { AdminState::Ready }
}
