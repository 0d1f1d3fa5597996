//! What a pool keeps of one server outside its lock.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use dormouse_config::model::ServerConfig;
use dormouse_relay::AbortReason;
use tokio::sync::{Notify, watch};

use super::retry::RetryCounters;
use crate::upstream::wakeable::WakeableServer;

/// What the pool keeps of one server outside the lock.
#[derive(Debug)]
pub(super) struct PoolServer {
    pub(super) name: String,
    address: Mutex<String>,
    pub(super) wakeable: Option<Arc<WakeableServer>>,
    pub(super) is_checked: bool,
    pub(super) ends_sessions: bool,
    /// Notified when the next check is due earlier than its task expects.
    pub(super) check_rescheduled: Notify,
    /// Ends all sessions of the server.
    pub(super) abort_sessions: watch::Sender<Option<AbortReason>>,
    pub(super) retries: RetryCounters,
}

impl PoolServer {
    pub(super) fn new(config: &ServerConfig, wakeable: Option<Arc<WakeableServer>>) -> Self {
        Self {
            name: config.name.clone(),
            address: Mutex::new(config.to.to_string()),
            wakeable,
            is_checked: config.check.is_some(),
            ends_sessions: config.check.as_ref().is_some_and(|check| check.ends_sessions),
            check_rescheduled: Notify::new(),
            abort_sessions: watch::Sender::new(None),
            retries: RetryCounters::default(),
        }
    }

    /// Returns how the server is reached.
    pub(super) fn address(&self) -> String {
        self.address.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_address(&self, address: SocketAddr) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address.to_string();
    }
}
