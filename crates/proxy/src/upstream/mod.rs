//! How a session gets a server. It sends an [`UpstreamRequest`] to [`Service::acquire`] and gets an [`UpstreamConn`], or
//! the reason why there is none. In between it may wait.
//!
//! In the order of the way:
//!
//! - `service`: a service as the rest of the program sees it; `build`: how it is made; `rules`: its rules for clients.
//! - `acquire`: the whole way of one client, step by step.
//! - `attempt`: a client's attempts at several servers: retries, and another server where one fails.
//! - `select`: the pool that chooses among several servers, with its queue and health checks.
//! - `server`: one server; a client waits there for a lease if the server has to be woken.
//! - `wakeable`: a server that dormouse starts and stops: its leases and its waiting clients.
//! - `workload`: what is started and stopped, for one server or for several: its state machine and all of its clients.
//! - `hold`: the connection itself, and the clients that are held until the server takes one.
//! - `guard`: what a session holds while it has a server. `deadline`: how long it waits for one.
//!
//! Beside the way:
//!
//! - `activation`: the registry of wakeable servers, and the task that drives each of them.
//! - `names`: servers that the DNS finds. `tasks`: the background tasks of a service.
//! - `admin`: what an administrator has set. `exchange`: whether a server answers as expected.

mod acquire;
mod activation;
mod admin;
mod attempt;
mod build;
mod deadline;
mod exchange;
mod guard;
mod hold;
mod names;
mod rules;
mod select;
mod server;
mod service;
mod tasks;
mod wakeable;
mod workload;

use std::net::IpAddr;

use dormouse_relay::{Pipes, Stream};

use crate::admission::Permit;
pub use activation::{Registry, WokenServer};
pub use admin::AdminOverrides;
pub use build::Routes;
pub use guard::ServerGuard;
pub use select::{LastCheck, Outages, RetryCounts, ServerHandle, ServerView};
pub use service::Service;
pub use wakeable::{Lease, WakeableServer};
pub use workload::Sharer;

/// A client that needs a server.
#[derive(Debug)]
pub struct UpstreamRequest<'a> {
    client: &'a mut Stream,
    client_has_data: bool,
    permit: &'a Permit,
    pipes: &'a Pipes,
    address: Option<IpAddr>,
}

/// A connection to a server, for one client.
#[derive(Debug)]
pub struct UpstreamConn {
    /// The connection to the server.
    pub server: Stream,
    /// Held until the end of the session. `None`: the only server, which dormouse does not start.
    pub guard: Option<ServerGuard>,
    /// The bytes that the server receives before any that are read from the client.
    pub prefix: Vec<u8>,
    /// The number of bytes that the server has received already.
    pub sent: u64,
}

impl<'a> UpstreamRequest<'a> {
    /// Returns the request of a client. `client_has_data`: bytes of the client have arrived. `permit` is the client's
    /// admission, `pipes` are those of its session.
    pub fn new(client: &'a mut Stream, client_has_data: bool, permit: &'a Permit, pipes: &'a Pipes) -> Self {
        Self { client, client_has_data, permit, pipes, address: None }
    }

    /// Adds the client's address, which [`Service::needs_client`] asks for.
    #[must_use]
    pub fn from(mut self, address: Option<IpAddr>) -> Self {
        self.address = address;
        self
    }
}
