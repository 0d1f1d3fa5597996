//! The clients: sessions at a steady rate, each with random bytes that must come back.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dormouse_tests::failure::Doing;
use dormouse_tests::rng::Rng;
use dormouse_tests::wait::{LIMIT, until};
use dormouse_tests::{Address, Failure, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::disturb::Record;
use crate::scene::Service;

/// The pause between the starts of two sessions.
const PACE: Duration = Duration::from_millis(8);
/// The most sessions at a time.
const MAX_SESSIONS: usize = 200;
/// The time limit of a session.
const SESSION_LIMIT: Duration = Duration::from_secs(60);
/// The most bytes of a session.
const MAX_BYTES: u64 = 1 << 20;

/// A session that has ended.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) service: Service,
    began: Instant,
    ended: Instant,
    result: Outcome,
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.ended.duration_since(self.began).as_millis();
        match &self.result {
            Outcome::Complete => write!(f, "{:?}: complete in {took} ms", self.service),
            Outcome::Cut(how) => write!(f, "{:?}: cut after {took} ms, {how}", self.service),
            Outcome::Wrong(how) => write!(f, "{:?}: wrong bytes, {how}", self.service),
        }
    }
}

/// How a session ended.
#[derive(Debug)]
enum Outcome {
    /// All bytes came back, and the stream ended in good order.
    Complete,
    /// Fewer bytes came back. Each of them was right.
    Cut(String),
    /// Other bytes came back.
    Wrong(String),
}

/// Clients that run until they are stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    /// The number of complete sessions of each service.
    complete: Arc<[AtomicU64; Service::ALL.len()]>,
    sessions: Arc<Mutex<Vec<Session>>>,
    thread: JoinHandle<Result<()>>,
}

impl Load {
    /// Starts sessions with the services in turn.
    pub(crate) fn start(fronts: Vec<(Service, Address)>, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let complete: Arc<[AtomicU64; Service::ALL.len()]> = Arc::default();
        let sessions = Arc::new(Mutex::new(Vec::new()));
        let (stopped, counts, list) = (Arc::clone(&stop), Arc::clone(&complete), Arc::clone(&sessions));
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.doing(|| "make a runtime".to_owned())?;
            runtime.block_on(run(fronts, Rng::new(seed), &stopped, counts.as_slice(), &list));
            Ok(())
        });
        Self { stop, complete, sessions, thread }
    }

    /// Waits until a session of `service` that began from now on is complete.
    ///
    /// # Errors
    /// When none is in time.
    pub(crate) fn serves_again(&self, service: Service) -> Result<()> {
        let now = Instant::now();
        until(&format!("complete session of {service:?}"), LIMIT, || {
            let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            let mut recent = sessions.iter().rev().take(4 * MAX_SESSIONS);
            let complete = |session: &&Session| {
                session.service == service
                    && session.began >= now
                    && matches!(session.result, Outcome::Complete)
            };
            Ok(recent.find(complete).map(|_| ()))
        })
    }

    /// Waits until this many more sessions of `service` are complete.
    ///
    /// # Errors
    /// When they are not in time.
    pub(crate) fn more(&self, service: Service, count: u64) -> Result<()> {
        let now = || self.complete.get(service as usize).map_or(0, |count| count.load(Ordering::Relaxed));
        let wanted = now() + count;
        until(&format!("{count} sessions of {service:?}"), LIMIT, || Ok((now() >= wanted).then_some(())))
    }

    /// Starts no more sessions, waits for the open ones and returns all.
    ///
    /// # Errors
    /// When the thread of the clients has failed.
    pub(crate) fn stop(self) -> Result<Vec<Session>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::Unexpected("the clients panicked".to_owned()))??;
        Ok(std::mem::take(&mut *self.sessions.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

async fn run(
    fronts: Vec<(Service, Address)>,
    mut rng: Rng,
    stopped: &AtomicBool,
    counts: &[AtomicU64],
    list: &Mutex<Vec<Session>>,
) {
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut open = JoinSet::new();
    let keep = |session: Session| {
        if matches!(session.result, Outcome::Complete) {
            if let Some(count) = counts.get(session.service as usize) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        list.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    };
    let mut next = fronts.iter().cycle();
    while !stopped.load(Ordering::Relaxed) {
        ticks.tick().await;
        // The woken service gets pauses, in which it falls asleep.
        let Some((service, address)) = next.next() else { break };
        if open.len() < MAX_SESSIONS && !(*service == Service::Woken && is_pause()) {
            open.spawn(session(*service, address.clone(), rng.number()));
        }
        while let Some(Ok(done)) = open.try_join_next() {
            keep(done);
        }
    }
    while let Some(Ok(done)) = open.join_next().await {
        keep(done);
    }
}

/// Whether the woken service gets no session now: two of five seconds.
fn is_pause() -> bool {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_secs() % 5 >= 3
}

async fn session(service: Service, address: Address, seed: u64) -> Session {
    let mut rng = Rng::new(seed);
    let size = usize::try_from(rng.size(MAX_BYTES)).unwrap_or(0).max(1);
    let sent: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| rng.number().to_le_bytes()).take(size).collect();
    let began = Instant::now();
    let mut received = Vec::with_capacity(size);
    let exchanged = timeout(SESSION_LIMIT, exchange(&address, &sent, &mut received)).await;
    let result = match exchanged {
        _ if !sent.starts_with(&received) => {
            let same = sent.iter().zip(&received).take_while(|(one, other)| one == other).count();
            Outcome::Wrong(format!("{} bytes came back for {size}; they differ at {same}", received.len()))
        }
        Ok(Ok(())) if received.len() == size => Outcome::Complete,
        Ok(Ok(())) => Outcome::Cut(format!("an orderly end after {} of {size} bytes", received.len())),
        Ok(Err(error)) => Outcome::Cut(format!("after {} of {size} bytes: {error}", received.len())),
        Err(_) => Outcome::Cut(format!("no end in time; {} of {size} bytes came back", received.len())),
    };
    Session { service, began, ended: Instant::now(), result }
}

async fn exchange(address: &Address, sent: &[u8], received: &mut Vec<u8>) -> io::Result<()> {
    match address {
        Address::Tcp(address) => echo(TcpStream::connect(address).await?, sent, received).await,
        Address::Unix(path) => echo(UnixStream::connect(path).await?, sent, received).await,
        Address::Abstract(_) => Err(io::Error::other("no service has an abstract address")),
    }
}

async fn echo<S: AsyncRead + AsyncWrite>(stream: S, sent: &[u8], received: &mut Vec<u8>) -> io::Result<()> {
    let (mut read, mut write) = tokio::io::split(stream);
    let sending = async {
        write.write_all(sent).await?;
        write.shutdown().await
    };
    // The bytes that came back before an error count.
    let receiving = async { read.read_to_end(received).await.map(|_| ()) };
    let (sending, receiving) = tokio::join!(sending, receiving);
    sending.and(receiving)
}

/// The numbers of a run without a violation.
pub(crate) struct Summary {
    complete: usize,
    cut: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sessions complete, {} cut by a disturbance of their service", self.complete, self.cut)
    }
}

/// Compares the sessions with the disturbances.
///
/// # Errors
/// The first sessions that received wrong bytes, or were cut without a disturbance of their service.
pub(crate) fn verdict(sessions: &[Session], records: &[Record]) -> Result<Summary> {
    let disturbed = |session: &Session| {
        records.iter().any(|record| {
            record.disturbance.affects(session.service)
                && record.began <= session.ended
                && session.began <= record.ended
        })
    };
    let wrong = |session: &&Session| match session.result {
        Outcome::Complete => false,
        Outcome::Cut(_) => !disturbed(session),
        Outcome::Wrong(_) => true,
    };
    let violations: Vec<_> = sessions.iter().filter(wrong).map(Session::to_string).collect();
    if !violations.is_empty() {
        let first = violations.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
        let (failed, all) = (violations.len(), sessions.len());
        return Err(Failure::Unexpected(format!("{failed} of {all} sessions failed:\n{first}")));
    }
    let complete = sessions.iter().filter(|session| matches!(session.result, Outcome::Complete)).count();
    Ok(Summary { complete, cut: sessions.len() - complete })
}
