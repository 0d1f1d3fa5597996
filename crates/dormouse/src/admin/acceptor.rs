//! Accepts admin clients: a few at a time; further ones wait in the backlog.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The pause after a failure to accept, such as a limit of the system: sessions come first.
const PAUSE: Duration = Duration::from_secs(1);

/// A listening socket for admin clients.
pub(super) trait Acceptor {
    /// The connection of a client.
    type Client;

    /// Waits for the next client.
    fn next(&self) -> impl Future<Output = io::Result<Self::Client>> + Send;
}

impl Acceptor for UnixListener {
    type Client = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(client, _)| client)
    }
}

impl Acceptor for TcpListener {
    type Client = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(client, _)| client)
    }
}

/// Serves at most `at_once` clients at a time. Never returns. Dropping the future disconnects the clients.
pub(super) async fn receive<E: Acceptor, S>(acceptor: E, at_once: usize, serve: impl Fn(E::Client) -> S)
where
    S: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(at_once));
    let mut clients = JoinSet::new();
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        while clients.try_join_next().is_some() {}
        match acceptor.next().await {
            Ok(client) => {
                let served = serve(client);
                clients.spawn(async move {
                    served.await;
                    drop(permit);
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
