//! The rules by which clients get a server.

use dormouse_config::limit::AtLimit;
use dormouse_config::model::{Network, ServiceConfig, WakeOn};
use dormouse_core::timespan::TimeSpan;
use dormouse_relay::StreamKind;

use super::UpstreamRequest;

/// The rules by which the clients of a service get a server.
#[derive(Debug)]
pub(super) struct ClientRules {
    /// How long a client waits for a server.
    pub(super) hold_timeout: TimeSpan,
    /// The number of clients that may wait.
    pub(super) held_max: usize,
    /// What happens to further clients.
    pub(super) overflow: AtLimit,
    /// What wakes the service: a connection, or the client's first data.
    pub(super) wake_on: WakeOn,
    /// The networks whose clients may wake the service. `None`: all.
    pub(super) wake_allow: Option<Vec<Network>>,
    /// Whether the first exchange may be replayed on another connection.
    pub(super) replay: bool,
}

impl ClientRules {
    /// Returns the rules of a configured service.
    pub(super) fn new(config: &ServiceConfig) -> Self {
        Self {
            hold_timeout: config.hold.timeout,
            held_max: usize::try_from(config.hold.max.get()).unwrap_or(usize::MAX),
            overflow: config.hold.overflow,
            wake_on: config.waking.on,
            wake_allow: config.waking.allow.clone(),
            replay: config.replay,
        }
    }

    /// Returns the rules of a service that only holds its clients.
    pub(super) fn hold_only(hold_timeout: TimeSpan) -> Self {
        Self {
            hold_timeout,
            held_max: usize::MAX,
            overflow: AtLimit::Refuse,
            wake_on: WakeOn::Connect,
            wake_allow: None,
            replay: false,
        }
    }

    /// Returns whether a client may wake a server.
    ///
    /// The mode of a UNIX socket decides for its clients, unless a PROXY header carries an address. Other clients
    /// without an address may not wake: a virtual machine, a client of another proxy's UNIX socket that reached
    /// dormouse over IP, and a client that left before its address was read.
    pub(super) fn may_wake(&self, request: &UpstreamRequest<'_>) -> bool {
        match (&self.wake_allow, request.address) {
            (None, _) => true,
            (Some(allowed), Some(address)) => allowed.iter().any(|network| network.contains(address)),
            (Some(_), None) => request.client.kind() == StreamKind::Unix,
        }
    }
}
