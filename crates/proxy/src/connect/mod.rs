//! Connecting to a target: its addresses, tried in the resolver's order with a delay between them, and the socket
//! options.

mod dial;
mod endpoint;
mod error;
pub mod options;
pub mod path_watch;
mod resolve;
pub mod retry_pace;

use std::net::SocketAddr;
use std::time::Duration;

use dormouse_core::address::Target;
use dormouse_relay::Stream;
use dormouse_sys::resolve::ResolveError;
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use tokio::sync::watch as watch_channel;

pub use dial::OnRefused;
pub use endpoint::Endpoint;
pub use error::{AddressFailed, ConnectError};
use resolve::Addresses;

/// How to reach a server: its addresses, or where they come from.
#[derive(Debug)]
pub struct Route {
    addresses: Addresses,
    timeout: Option<Duration>,
}

impl Route {
    /// Creates a route to a target. IP addresses and UNIX paths are completed here; names are resolved when they are needed.
    /// `timeout` applies to each address.
    ///
    /// # Errors
    /// When a zone is no interface of this machine, or a service has no port.
    pub fn new(target: &Target, timeout: Option<Duration>) -> Result<Self, ResolveError> {
        let fixed = |endpoint: Endpoint| Addresses::Fixed(vec![endpoint]);
        let named = |reason: Errno| ResolveError { query: target.to_string(), reason: reason.to_string() };
        let addresses = match target {
            Target::Unix(path) => fixed(SocketAddrUnix::new(path.as_path()).map_err(named)?.into()),
            Target::Abstract(name) => {
                fixed(SocketAddrUnix::new_abstract_name(name.as_bytes()).map_err(named)?.into())
            }
            Target::Vsock { cid, port } => {
                fixed(dormouse_sys::vsock::VsockAddr { cid: *cid, port: *port }.into())
            }
            Target::Tcp { host, port } => resolve::prepare(host, port)?,
            // A slot has no server until the DNS assigns one.
            Target::Slot { .. } => Addresses::Fixed(Vec::new()),
        };
        Ok(Self { addresses, timeout })
    }

    /// Creates a route to the current server of a slot.
    pub fn to_slot(slot: watch_channel::Receiver<Option<SocketAddr>>, timeout: Option<Duration>) -> Self {
        Self { addresses: Addresses::Slot(slot), timeout }
    }

    /// Returns the path of the server's UNIX socket, which can be watched.
    pub fn path(&self) -> Option<&std::path::Path> {
        match &self.addresses {
            Addresses::Fixed(endpoints) => endpoints.first().and_then(Endpoint::path),
            Addresses::Named(_) | Addresses::Slot(_) => None,
        }
    }

    /// Returns the IP addresses of the server, as far as the resolver knows them.
    pub async fn inet_addresses(&self) -> Vec<SocketAddr> {
        let endpoints = match &self.addresses {
            Addresses::Fixed(endpoints) => endpoints.clone(),
            Addresses::Named(cache) => cache.addresses().await.unwrap_or_default(),
            Addresses::Slot(slot) => slot.borrow().map(Endpoint::Inet).into_iter().collect(),
        };
        let inet = |endpoint| if let Endpoint::Inet(address) = endpoint { Some(address) } else { None };
        endpoints.into_iter().filter_map(inet).collect()
    }

    /// Connects to the first address that answers. If `client_has_data`, the last packet of the handshake may carry the
    /// client's bytes.
    ///
    /// # Errors
    /// When no address took the connection, with the error of each.
    pub async fn connect(
        &self,
        client_has_data: bool,
        on_refused: OnRefused,
    ) -> Result<Stream, ConnectError> {
        match &self.addresses {
            Addresses::Fixed(endpoints) => {
                dial::race(endpoints, self.timeout, client_has_data, on_refused).await
            }
            Addresses::Named(cache) => {
                let endpoints = cache.addresses().await.map_err(ConnectError::Unresolved)?;
                dial::race(&endpoints, self.timeout, client_has_data, on_refused).await
            }
            // Boxed, so that connections to fixed addresses do not carry it.
            Addresses::Slot(slot) => Box::pin(self.connect_to_slot(slot, client_has_data, on_refused)).await,
        }
    }

    /// Returns the error for a connection that timed out.
    pub fn unanswered(&self) -> ConnectError {
        match &self.addresses {
            Addresses::Fixed(endpoints) => unanswered(endpoints),
            Addresses::Named(cache) => ConnectError::Unresolved(cache.unanswered()),
            Addresses::Slot(slot) => match *slot.borrow() {
                Some(address) => unanswered(&[Endpoint::Inet(address)]),
                None => ConnectError::Unresolved(empty_slot()),
            },
        }
    }

    async fn connect_to_slot(
        &self,
        slot: &watch_channel::Receiver<Option<SocketAddr>>,
        client_has_data: bool,
        on_refused: OnRefused,
    ) -> Result<Stream, ConnectError> {
        let address = *slot.borrow();
        let endpoint = Endpoint::Inet(address.ok_or_else(|| ConnectError::Unresolved(empty_slot()))?);
        dial::race(&[endpoint], self.timeout, client_has_data, on_refused).await
    }
}

fn unanswered(endpoints: &[Endpoint]) -> ConnectError {
    let failed = |address: &Endpoint| AddressFailed { address: address.clone(), error: Errno::TIMEDOUT };
    ConnectError::AllFailed(endpoints.iter().map(failed).collect())
}

fn empty_slot() -> ResolveError {
    ResolveError { query: "a DNS server slot".to_owned(), reason: "no server is in the slot".to_owned() }
}
