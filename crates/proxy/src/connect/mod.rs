//! From a target to a connected socket: its addresses, tried in the resolver's order with a head start each, and the
//! options that the socket gets.

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

pub use endpoint::Endpoint;
pub use error::{AddressFailed, ConnectError};
use resolve::NameCache;

/// How to reach a server: its addresses, or the way to them.
#[derive(Debug)]
pub struct Route {
    addresses: Addresses,
    timeout: Option<Duration>,
}

#[derive(Debug)]
enum Addresses {
    Fixed(Vec<Endpoint>),
    Named(NameCache),
    /// Whoever has the slot now.
    Slot(watch_channel::Receiver<Option<SocketAddr>>),
}

/// What it means that one of several addresses refuses while another has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRefused {
    /// It is out.
    GiveUp,
    /// A server may be about to listen there: it is asked again.
    Retry,
}

impl Route {
    /// Prepares the way to a target. Literals and UNIX names are completed here, once; names are resolved when they
    /// are needed. `timeout`: for each address.
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
            // Nobody has it until somebody gives it a server.
            Target::Slot { .. } => Addresses::Fixed(Vec::new()),
        };
        Ok(Self { addresses, timeout })
    }

    /// The way to whoever has a slot at the time.
    pub fn to_slot(slot: watch_channel::Receiver<Option<SocketAddr>>, timeout: Option<Duration>) -> Self {
        Self { addresses: Addresses::Slot(slot), timeout }
    }

    /// The path of the server's socket in the file system, if it has one: its appearance can be watched.
    pub fn path(&self) -> Option<&std::path::Path> {
        match &self.addresses {
            Addresses::Fixed(endpoints) => endpoints.first().and_then(Endpoint::path),
            Addresses::Named(_) | Addresses::Slot(_) => None,
        }
    }

    /// Connects, once, to the first address that answers. `client_has_data`: bytes of the client are already here, so
    /// that the handshake's last packet may carry them.
    ///
    /// # Errors
    /// When no address took the connection, with what each of them said.
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
            // Boxed: those who go to a fixed address would carry it.
            Addresses::Slot(slot) => Box::pin(self.connect_to_slot(slot, client_has_data, on_refused)).await,
        }
    }

    /// What there is to say when nobody waits for an answer any longer.
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
    ResolveError { query: "a server by name".to_owned(), reason: "it is gone".to_owned() }
}
