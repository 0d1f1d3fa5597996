//! The state that the sessions of one service share.

use std::sync::Arc;
use std::time::Duration;

use dormouse_config::proxy_protocol::SendProxy;
use dormouse_config::spelling::Spelling;
use dormouse_relay::{Limits, MessageCredentials, Pipes};

use crate::proxy_protocol::AcceptProxy;
use crate::stats::{ServerStats, Stats};
use crate::upstream::Service;

/// The state that the sessions of one service share.
#[derive(Debug)]
pub struct ServiceContext {
    /// The prefix of log lines.
    pub label: String,
    /// The servers, and how clients get to them.
    pub service: Service,
    /// The stats of the service.
    pub stats: Arc<Stats>,
    /// The stats of the servers.
    pub servers: Vec<Arc<ServerStats>>,
    /// The session limits.
    pub limits: Arc<Limits>,
    /// The pipes for splicing.
    pub pipes: Arc<Pipes>,
    /// The proxies whose PROXY headers are accepted.
    pub accept_proxy: Option<AcceptProxy>,
    /// The PROXY header to send to the server.
    pub proxy_protocol: Option<SendProxy>,
    /// Whose credentials come with the bytes to a client of a UNIX socket.
    pub message_credentials: MessageCredentials,
    /// A session without traffic for this time does not keep the service awake.
    pub quiet: Option<Duration>,
    /// How log lines name the settings of the service.
    pub spelling: Spelling,
}

impl ServiceContext {
    /// Returns whether the address of a client is needed.
    pub fn needs_client(&self) -> bool {
        self.stats.needs_client()
            || self.proxy_protocol.is_some()
            || self.accept_proxy.is_some()
            || self.service.needs_client()
    }
}
