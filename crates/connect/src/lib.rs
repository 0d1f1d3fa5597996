//! Connecting to a target: its addresses, tried in the resolver's order with a delay between them, the socket options, and
//! the credentials that a UNIX server sees.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod as_client;
mod choice;
mod dial;
mod endpoint;
mod error;
pub mod options;
pub mod path_watch;
mod resolve;
pub mod retry_pace;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_config::model::PeerCredentials;
use dormouse_core::address::Target;
use dormouse_relay::{MessageCredentials, Stream, StreamKind};
use dormouse_sys::connect_as::Identity;
use dormouse_sys::resolve::ResolveError;
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use tokio::sync::watch as watch_channel;

use choice::Choice;
pub use dial::OnRefused;
pub use endpoint::Endpoint;
pub use error::{AddressFailed, ConnectError, NotAsClient};
use resolve::Addresses;

/// How long a missing permission may pass: a server binds its socket first and sets the mode afterwards.
pub const PERMISSION_GRACE: Duration = Duration::from_secs(2);

/// How to reach a server: its addresses, or where they come from.
#[derive(Debug)]
pub struct Route {
    addresses: Addresses,
    choice: Choice,
    timeout: Option<Duration>,
    /// Whose credentials the server sees when a client is connected.
    peer_credentials: PeerCredentials,
    /// Whose credentials come with the bytes to a UNIX server.
    message_credentials: MessageCredentials,
}

/// How a client's connection to the server is made.
#[derive(Debug, Clone)]
pub enum ConnectAs {
    /// As any connection of dormouse. If `client_has_data`, the last packet of the handshake may carry the client's bytes.
    Own {
        /// Bytes of the client have arrived.
        client_has_data: bool,
    },
    /// With the credentials of the client.
    Client(Arc<Identity>),
}

/// Returns whose credentials come with the bytes over a UNIX socket of a configured service.
pub fn message_credentials(peer_credentials: PeerCredentials) -> MessageCredentials {
    match peer_credentials {
        PeerCredentials::Unstated => MessageCredentials::withheld_if_possible(),
        PeerCredentials::Own => MessageCredentials::Own,
        PeerCredentials::Pass => MessageCredentials::Passed,
    }
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
        Ok(Self::to(addresses, timeout))
    }

    fn to(addresses: Addresses, timeout: Option<Duration>) -> Self {
        let (peer_credentials, message_credentials) = (PeerCredentials::Own, MessageCredentials::Own);
        let choice = Choice::default();
        Self { addresses, choice, timeout, peer_credentials, message_credentials }
    }

    /// Sets whose credentials a UNIX server sees, as a service configures it.
    #[must_use]
    pub fn with_credentials(self, peer_credentials: PeerCredentials) -> Self {
        let message_credentials = message_credentials(peer_credentials);
        Self { peer_credentials, message_credentials, ..self }
    }

    /// Returns whether the server is at a UNIX socket, so that descriptors of a client get to it.
    pub fn reaches_unix(&self) -> bool {
        let Addresses::Fixed(endpoints) = &self.addresses else { return false };
        endpoints.iter().any(|endpoint| endpoint.kind() == StreamKind::Unix)
    }

    /// Returns whether each client is connected with its own credentials, so that no client can get the connection of
    /// another, or one that dormouse made for itself.
    pub fn passes_credentials(&self) -> bool {
        self.peer_credentials == PeerCredentials::Pass
    }

    /// Returns how a client's connection is made. `client_has_data`: bytes of the client have arrived.
    ///
    /// # Errors
    /// When the server is to see the credentials of the client, and they are not known.
    pub fn connect_as(&self, client: &Stream, client_has_data: bool) -> Result<ConnectAs, ConnectError> {
        match self.peer_credentials {
            PeerCredentials::Unstated | PeerCredentials::Own => Ok(ConnectAs::Own { client_has_data }),
            PeerCredentials::Pass => as_client::identity(client).map(ConnectAs::Client),
        }
    }

    /// Creates a route to the current server of a slot.
    pub fn to_slot(slot: watch_channel::Receiver<Option<SocketAddr>>, timeout: Option<Duration>) -> Self {
        Self::to(Addresses::Slot(slot), timeout)
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
        let inet = |endpoint| if let Endpoint::Inet(address) = endpoint { Some(address) } else { None };
        self.endpoints().await.into_iter().filter_map(inet).collect()
    }

    async fn endpoints(&self) -> Vec<Endpoint> {
        match &self.addresses {
            Addresses::Fixed(endpoints) => endpoints.clone(),
            Addresses::Named(cache) => cache.addresses().await.unwrap_or_default(),
            Addresses::Slot(slot) => slot.borrow().map(Endpoint::Inet).into_iter().collect(),
        }
    }

    /// Avoids an address, which led to a stranger, for a few seconds while the server has another one. Returns whether
    /// there is another one to try.
    pub async fn avoid(&self, stranger: &Endpoint) -> bool {
        self.choice.avoid(stranger, &self.endpoints().await)
    }

    /// Returns the addresses that took no connection since the last call, while others did.
    pub fn take_refused(&self) -> Vec<Endpoint> {
        self.choice.take_refused()
    }

    /// Connects for a client.
    ///
    /// # Errors
    /// When no address took the connection, with the error of each.
    pub async fn connect_client(
        &self,
        connect_as: &ConnectAs,
        on_refused: OnRefused,
    ) -> Result<Stream, ConnectError> {
        match (connect_as, &self.addresses) {
            (ConnectAs::Own { client_has_data }, _) => self.connect(*client_has_data, on_refused).await,
            (ConnectAs::Client(identity), Addresses::Fixed(endpoints)) => {
                // Boxed, so that the connections of dormouse's own do not carry it.
                Box::pin(as_client::connect(endpoints, self.timeout, identity)).await
            }
            (ConnectAs::Client(_), _) => Err(ConnectError::NotAsClient(NotAsClient::NoUnixServer)),
        }
    }

    /// Connects to the first address that answers, with the credentials of dormouse. If `client_has_data`, the last packet
    /// of the handshake may carry the client's bytes.
    ///
    /// # Errors
    /// When no address took the connection, with the error of each.
    pub async fn connect(
        &self,
        client_has_data: bool,
        on_refused: OnRefused,
    ) -> Result<Stream, ConnectError> {
        let connected = match &self.addresses {
            Addresses::Fixed(endpoints) => self.connect_to(endpoints, client_has_data, on_refused).await,
            Addresses::Named(cache) => {
                let endpoints = cache.addresses().await.map_err(ConnectError::Unresolved)?;
                self.connect_to(&endpoints, client_has_data, on_refused).await
            }
            // Boxed, so that connections to fixed addresses do not carry it.
            Addresses::Slot(slot) => Box::pin(self.connect_to_slot(slot, client_has_data, on_refused)).await,
        };
        connected.map(|server| server.with_message_credentials(self.message_credentials))
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

    async fn connect_to(
        &self,
        endpoints: &[Endpoint],
        client_has_data: bool,
        on_refused: OnRefused,
    ) -> Result<Stream, ConnectError> {
        let chosen = self.choice.among(endpoints);
        let endpoints = chosen.as_deref().unwrap_or(endpoints);
        let (stream, failures) = dial::race(endpoints, self.timeout, client_has_data, on_refused).await?;
        self.choice.record_refused(failures);
        Ok(stream)
    }

    async fn connect_to_slot(
        &self,
        slot: &watch_channel::Receiver<Option<SocketAddr>>,
        client_has_data: bool,
        on_refused: OnRefused,
    ) -> Result<Stream, ConnectError> {
        let address = *slot.borrow();
        let endpoint = Endpoint::Inet(address.ok_or_else(|| ConnectError::Unresolved(empty_slot()))?);
        self.connect_to(&[endpoint], client_has_data, on_refused).await
    }
}

fn unanswered(endpoints: &[Endpoint]) -> ConnectError {
    let failed = |address: &Endpoint| AddressFailed { address: address.clone(), error: Errno::TIMEDOUT };
    ConnectError::AllFailed(endpoints.iter().map(failed).collect())
}

fn empty_slot() -> ResolveError {
    ResolveError { query: "a DNS server slot".to_owned(), reason: "no server is in the slot".to_owned() }
}
