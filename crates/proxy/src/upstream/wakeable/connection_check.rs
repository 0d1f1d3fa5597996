//! The check of clients' connections. An address where the server was found needs no further look while it listens there.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dormouse_relay::Stream;

use dormouse_connect::Endpoint;

/// The largest number of addresses to keep. A name may have any number of addresses, one after another.
const MOST_PEERS: usize = 64;

type Checked = Pin<Box<dyn Future<Output = Result<Stream, NotTheServer>> + Send>>;

/// Checks connections, and returns those that lead to the server.
#[derive(Clone)]
pub(in crate::upstream) struct ConnectionCheck {
    judged: Arc<JudgedPeers>,
    judge: Arc<dyn Fn(Stream) -> Checked + Send + Sync>,
}

/// The addresses at which the server was found in its present run, and has listened since.
#[derive(Debug, Default)]
pub(in crate::upstream) struct JudgedPeers(Mutex<Vec<Endpoint>>);

/// Why a connection is not used.
#[derive(Debug)]
pub(in crate::upstream) enum NotTheServer {
    /// It leads to a stranger, who has this address.
    Stranger(Option<Endpoint>),
    /// It is over, or could not be judged. Another one may lead to the server.
    Inconclusive,
}

impl JudgedPeers {
    /// Records that the server listens at an address.
    pub(in crate::upstream) fn insert(&self, peer: Endpoint) {
        let mut peers = self.lock();
        if !peers.contains(&peer) {
            // The others are judged again.
            if peers.len() >= MOST_PEERS {
                peers.clear();
            }
            peers.push(peer);
        }
    }

    fn contains(&self, peer: &Endpoint) -> bool {
        self.lock().contains(peer)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Endpoint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionCheck {
    /// Creates a check. `judge` looks for the owner of a connection, and adds addresses to `judged`.
    pub(in crate::upstream) fn new(
        judged: Arc<JudgedPeers>,
        judge: impl Fn(Stream) -> Checked + Send + Sync + 'static,
    ) -> Self {
        Self { judged, judge: Arc::new(judge) }
    }

    /// Checks a connection, and returns it if it leads to the server.
    pub(super) async fn check(&self, stream: Stream) -> Result<Stream, NotTheServer> {
        let peer = stream.socket().and_then(Endpoint::of_peer);
        if peer.as_ref().is_some_and(|peer| self.judged.contains(peer)) {
            return Ok(stream);
        }
        (self.judge)(stream).await
    }

    /// Judges the next connection to these addresses again: the server was not found to listen there.
    pub(super) fn forget(&self, peers: &[Endpoint]) {
        if !peers.is_empty() {
            self.judged.lock().retain(|judged| !peers.contains(judged));
        }
    }

    /// Judges the next connection to each address again.
    pub(super) fn forget_all(&self) {
        self.judged.lock().clear();
    }
}

impl fmt::Debug for ConnectionCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionCheck")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        Endpoint::Inet(([127, 0, 0, 1], port).into())
    }

    #[test]
    fn the_number_of_addresses_is_limited() {
        let judged = Arc::new(JudgedPeers::default());
        for port in 0..1000 {
            judged.insert(endpoint(port));
            judged.insert(endpoint(port));
            assert!(judged.contains(&endpoint(port)) && judged.lock().len() <= MOST_PEERS);
        }
    }

    #[test]
    fn an_address_that_took_no_connection_is_judged_again() {
        let judged = Arc::new(JudgedPeers::default());
        let check = ConnectionCheck::new(Arc::clone(&judged), |_| {
            Box::pin(std::future::ready(Err(NotTheServer::Inconclusive)))
        });
        judged.insert(endpoint(1));
        judged.insert(endpoint(2));
        check.forget(&[endpoint(1)]);
        assert!(!judged.contains(&endpoint(1)) && judged.contains(&endpoint(2)));
        check.forget_all();
        assert!(!judged.contains(&endpoint(2)));
    }
}
