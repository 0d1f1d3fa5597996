//! Clients that connect at a steady rate and expect an echo, and an echo server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dormouse_tests::failure::Doing;
use dormouse_tests::{Failure, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// The time limit of one client.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// The most clients at a time: more do not fit into the backlog.
const MOST_CLIENTS: usize = 2000;

/// A server that echoes each client until the client ends its stream. The server ends on drop.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    _end: oneshot::Sender<()>,
}

impl Echo {
    pub(crate) fn start() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.doing(|| "make a runtime".to_owned())?;
        let listener = {
            let _inside = runtime.enter();
            listen().doing(|| "listen for the server".to_owned())?
        };
        let address = listener.local_addr().doing(|| "ask for the server's address".to_owned())?;
        let (end, ended) = oneshot::channel();
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    () = echo(listener) => {}
                }
            });
        });
        Ok(Self { address, _end: end })
    }
}

/// Listens with a backlog for all clients that connect at once after a restart.
fn listen() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(4096)
}

async fn echo(listener: TcpListener) {
    while let Ok((mut client, _)) = listener.accept().await {
        tokio::spawn(async move {
            let (mut read, mut write) = client.split();
            // A client that disconnects is not an error of the server.
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
    }
}

/// Clients that connect at a steady rate, regardless of their results.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    thread: JoinHandle<Result<Tally>>,
}

/// The results of the clients.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) served: u64,
    /// The reasons of the failed clients.
    pub(crate) failed: Vec<String>,
    /// The longest time of one client.
    pub(crate) slowest: Duration,
}

impl Load {
    /// Starts this number of clients per second, to the addresses in turn.
    pub(crate) fn start(addresses: Vec<SocketAddr>, rate: u32) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&served));
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.doing(|| "make a runtime".to_owned())?;
            runtime.block_on(connect_clients(addresses, rate, &stopped, &count))
        });
        Self { stop, served, thread }
    }

    /// The number of clients served so far.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Starts no more clients and waits for the open ones.
    pub(crate) fn finish(self) -> Result<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::Unexpected("the clients panicked".to_owned()))?
    }
}

async fn connect_clients(
    addresses: Vec<SocketAddr>,
    rate: u32,
    stop: &AtomicBool,
    count: &AtomicU64,
) -> Result<Tally> {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    // Ticks that a busy machine misses are not made up for in a burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut clients, mut tally) = (JoinSet::new(), Tally::default());
    let mut numbered = addresses.iter().cycle().zip(0_u64..);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        if clients.len() >= MOST_CLIENTS {
            if let Some(done) = clients.join_next().await {
                tally.count(done);
            }
        }
        let Some((address, number)) = numbered.next() else { break };
        clients.spawn(timeout(REQUEST_LIMIT, run_client(*address, number)));
        while let Some(done) = clients.try_join_next() {
            tally.count(done);
        }
        count.store(tally.served, Ordering::Relaxed);
    }
    while let Some(done) = clients.join_next().await {
        tally.count(done);
    }
    Ok(tally)
}

type Done = std::result::Result<
    std::result::Result<std::io::Result<Duration>, tokio::time::error::Elapsed>,
    tokio::task::JoinError,
>;

impl Tally {
    fn count(&mut self, done: Done) {
        match done {
            Ok(Ok(Ok(took))) => {
                self.served += 1;
                self.slowest = self.slowest.max(took);
            }
            Ok(Ok(Err(error))) => self.failed.push(error.to_string()),
            Ok(Err(_)) => self.failed.push("the client took too long".to_owned()),
            Err(error) => self.failed.push(error.to_string()),
        }
    }

    /// Fails unless all clients were served.
    pub(crate) fn all_served(&self) -> Result<()> {
        if self.failed.is_empty() && self.served > 0 {
            return Ok(());
        }
        let first: Vec<_> = self.failed.iter().take(5).collect();
        let failed = self.failed.len();
        Err(Failure::Unexpected(format!("{failed} clients failed, {} were served: {first:?}", self.served)))
    }
}

/// Sends a unique word and expects its echo and the end of the stream.
async fn run_client(address: SocketAddr, number: u64) -> std::io::Result<Duration> {
    let began = std::time::Instant::now();
    let at = |what: &str, error: std::io::Error| {
        std::io::Error::new(error.kind(), format!("{address}, client {number}: {what}: {error}"))
    };
    let mut stream = TcpStream::connect(address).await.map_err(|error| at("connect", error))?;
    let words = format!("client {number}\n");
    stream.write_all(words.as_bytes()).await.map_err(|error| at("send", error))?;
    stream.shutdown().await.map_err(|error| at("end", error))?;
    let mut echoed = String::new();
    stream.read_to_string(&mut echoed).await.map_err(|error| at("receive", error))?;
    if echoed == words {
        return Ok(began.elapsed());
    }
    Err(at("answer", std::io::Error::other(format!("{echoed:?}"))))
}
