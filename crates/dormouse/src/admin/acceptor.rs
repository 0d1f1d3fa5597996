//! Accepts admin clients in batches, and serves a few at a time. When all places are taken, the clients that have said least
//! give way. A client behind thousands of silent ones gets its turn within a fraction of a second.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::{AbortHandle, JoinSet, yield_now};
use tokio::time::sleep;

use super::local_stream::LocalStream;
use super::progress::Progress;

/// The pause after a failure to accept, such as a limit of the system: sessions come first.
const PAUSE: Duration = Duration::from_secs(1);
/// The time between two looks for a client that may give way, while all take their answers.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The largest number of clients that are accepted at once. They have sockets beyond the places until others give way.
pub(super) const BATCH: usize = 16;

/// The pause after a batch for which others gave way. A flood of clients takes a small share of the event loop, and each
/// client has this time at least to send its request.
const GIVE_WAY_INTERVAL: Duration = Duration::from_millis(1);

/// A listening socket for admin clients.
pub(super) trait Acceptor {
    /// The connection of a client.
    type Client;

    /// Waits for the next client.
    fn next(&self) -> impl Future<Output = io::Result<Self::Client>> + Send;
}

impl Acceptor for UnixListener {
    type Client = LocalStream;

    async fn next(&self) -> io::Result<LocalStream> {
        self.accept().await.map(|(client, _)| LocalStream::new(client))
    }
}

impl Acceptor for TcpListener {
    type Client = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(client, _)| client)
    }
}

/// Serves at most `at_once` clients at a time, and [`BATCH`] more until others give way. Never returns. Dropping the future
/// disconnects the clients.
pub(super) async fn receive<E: Acceptor, S>(
    acceptor: E,
    at_once: usize,
    serve: impl Fn(E::Client, Progress) -> S,
) where
    S: Future<Output = ()> + Send + 'static,
{
    let mut clients = Clients { tasks: JoinSet::new(), places: Vec::new() };
    loop {
        clients.admit(acceptor.next().await, &serve).await;
        for _ in 1..BATCH {
            let Some(next) = next_of_batch(&acceptor).await else { break };
            clients.admit(next, &serve).await;
        }
        // Before others give way, the event loop looks at the sockets: the requests of the new clients may be there.
        yield_now().await;
        clients.make_room(at_once).await;
    }
}

/// Returns the next client if one waits already.
async fn next_of_batch<E: Acceptor>(acceptor: &E) -> Option<io::Result<E::Client>> {
    let mut next = pin!(acceptor.next());
    poll_fn(|cx| {
        Poll::Ready(match next.as_mut().poll(cx) {
            Poll::Ready(accepted) => Some(accepted),
            Poll::Pending => None,
        })
    })
    .await
}

/// The clients that are being served.
struct Clients {
    tasks: JoinSet<()>,
    places: Vec<(AbortHandle, Progress)>,
}

impl Clients {
    /// Begins to serve a client. After a failure to accept it waits.
    async fn admit<C, S>(&mut self, accepted: io::Result<C>, serve: impl Fn(C, Progress) -> S)
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let Ok(client) = accepted else { return sleep(PAUSE).await };
        let progress = Progress::new();
        let task = self.tasks.spawn(serve(client, progress.clone()));
        self.places.push((task, progress));
    }

    /// Waits until at most `at_once` clients are served. Clients that may give way are disconnected for it.
    async fn make_room(&mut self, at_once: usize) {
        loop {
            while self.tasks.try_join_next().is_some() {}
            self.places.retain(|(task, _)| !task.is_finished());
            let excess = self.tasks.len().saturating_sub(at_once);
            if excess == 0 {
                return;
            }
            if self.give_way(excess) {
                sleep(GIVE_WAY_INTERVAL).await;
            } else {
                tokio::select! {
                    _ = self.tasks.join_next() => {}
                    () = sleep(CHECK_INTERVAL) => {}
                }
            }
        }
    }

    /// Disconnects at most `excess` clients that may give way. Returns whether there was one.
    fn give_way(&self, excess: usize) -> bool {
        let now = Instant::now();
        let ranked = self.places.iter().filter_map(|(task, progress)| Some((progress.rank(now)?, task)));
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.iter().take(excess).for_each(|(_, task)| task.abort());
        !ranked.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use tokio::sync::mpsc;

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

    /// The clients that are left of `count` silent ones, and the pauses that their number costs.
    async fn left_of(count: usize) -> (Vec<usize>, Duration) {
        let (send, clients) = mpsc::unbounded_channel();
        let connected = Arc::new(Mutex::new(VecDeque::new()));
        let served = {
            let connected = Arc::clone(&connected);
            move |number, progress: Progress| {
                connected.lock().unwrap().push_back(number);
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
        (0..count).for_each(|number| send.send(number).unwrap());
        let began = tokio::time::Instant::now();
        let left = || connected.lock().unwrap().iter().copied().collect::<Vec<_>>();
        let trimmed = async {
            while left().len() != 3 || left().last() != Some(&(count - 1)) {
                sleep(GIVE_WAY_INTERVAL).await;
            }
        };
        tokio::select! {
            () = receive(Numbers(tokio::sync::Mutex::new(clients)), 3, served) => {}
            () = trimmed => {}
        }
        (left(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn silent_clients_give_way_in_their_order_and_others_stay() {
        assert_eq!(left_of(300).await.0, [0, 298, 299]);
    }

    #[tokio::test(start_paused = true)]
    async fn thousands_of_silent_clients_cost_few_pauses() {
        // The clock stands still while work is done, so only pauses count.
        let (left, paused) = left_of(5000).await;
        assert_eq!(left, [0, 4998, 4999]);
        assert!(paused < Duration::from_secs(1), "{paused:?}");
    }
}
