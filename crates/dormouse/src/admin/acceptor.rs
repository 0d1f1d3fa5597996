//! Accepts admin clients, a few at a time. When all places are taken, the client that has said least gives way.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet, yield_now};
use tokio::time::sleep;

use super::progress::Progress;

/// The pause after a failure to accept, such as a limit of the system: sessions come first.
const PAUSE: Duration = Duration::from_secs(1);
/// The time between two looks for a client that may give way, while all take their answers.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The time between two clients that give way. A flood of clients costs sessions little, and each client has this time
/// for every place to send its request.
const GIVE_WAY_INTERVAL: Duration = Duration::from_millis(2);

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

/// Serves at most `at_once` clients at a time, and keeps one more until another gives way. Never returns. Dropping the
/// future disconnects the clients.
pub(super) async fn receive<E: Acceptor, S>(
    acceptor: E,
    at_once: usize,
    serve: impl Fn(E::Client, Progress) -> S,
) where
    S: Future<Output = ()> + Send + 'static,
{
    let mut clients = Clients { tasks: JoinSet::new(), places: Vec::new() };
    loop {
        match acceptor.next().await {
            Ok(client) => {
                clients.make_room(at_once).await;
                let progress = Progress::new();
                let task = clients.tasks.spawn(serve(client, progress.clone()));
                clients.places.push((task, progress));
            }
            Err(_) => sleep(PAUSE).await,
        }
        // Before the next client is accepted, the event loop looks at the sockets: the request of this one may be there.
        yield_now().await;
    }
}

/// The clients that are being served.
struct Clients {
    tasks: JoinSet<()>,
    places: Vec<(AbortHandle, Progress)>,
}

impl Clients {
    /// Waits until less than `at_once` clients are served. A client that may give way is disconnected for it.
    async fn make_room(&mut self, at_once: usize) {
        loop {
            while self.tasks.try_join_next().is_some() {}
            self.places.retain(|(task, _)| !task.is_finished());
            if self.tasks.len() < at_once {
                return;
            }
            let now = Instant::now();
            let ranked = self.places.iter().filter_map(|(task, progress)| Some((progress.rank(now)?, task)));
            if let Some((_, task)) = ranked.min_by_key(|(rank, _)| *rank) {
                task.abort();
                self.tasks.join_next().await;
                sleep(GIVE_WAY_INTERVAL).await;
            } else {
                tokio::select! {
                    _ = self.tasks.join_next() => {}
                    () = sleep(CHECK_INTERVAL) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use tokio::sync::{Notify, mpsc};

    use super::*;

    /// Clients that are numbers, from a channel.
    struct Numbers(tokio::sync::Mutex<mpsc::UnboundedReceiver<usize>>);

    impl Acceptor for Numbers {
        type Client = usize;

        async fn next(&self) -> io::Result<usize> {
            match self.0.lock().await.recv().await {
                Some(number) => Ok(number),
                None => std::future::pending().await,
            }
        }
    }

    /// Removes its number from the list of connected clients.
    struct Connected(usize, Arc<Mutex<VecDeque<usize>>>);

    impl Drop for Connected {
        fn drop(&mut self) {
            self.1.lock().unwrap().retain(|number| *number != self.0);
        }
    }

    #[tokio::test]
    async fn silent_clients_give_way_in_their_order_and_others_stay() {
        let (send, clients) = mpsc::unbounded_channel();
        let connected = Arc::new(Mutex::new(VecDeque::new()));
        let changed = Arc::new(Notify::new());
        let served = {
            let (connected, changed) = (Arc::clone(&connected), Arc::clone(&changed));
            move |number, progress: Progress| {
                connected.lock().unwrap().push_back(number);
                changed.notify_one();
                let connected = Connected(number, Arc::clone(&connected));
                async move {
                    let _connected = connected;
                    // Client 0 gets an answer, and takes it.
                    if number == 0 {
                        progress.begin_answer();
                    }
                    std::future::pending::<()>().await;
                }
            }
        };
        let receiving = receive(Numbers(tokio::sync::Mutex::new(clients)), 3, served);
        let sending = async {
            for number in 0..300 {
                send.send(number).unwrap();
                changed.notified().await;
            }
        };
        tokio::select! {
            () = receiving => {}
            () = sending => {}
        }
        assert_eq!(*connected.lock().unwrap(), [0, 298, 299]);
    }
}
