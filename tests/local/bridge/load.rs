//! Clients that connect at a steady rate, and the result of each.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dormouse_tests::{Result, wait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    /// The last line of the answer, or the error.
    pub(crate) answer: std::result::Result<String, String>,
}

/// The time limit of a request.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);

/// A thread that sends requests until it is stopped.
pub(crate) struct Load {
    done: Arc<Mutex<Vec<Request>>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Load {
    /// Starts this number of connections per second, with one request each.
    pub(crate) fn start(front: SocketAddr, per_second: u32) -> Self {
        let done = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = oneshot::channel();
        let records = Arc::clone(&done);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(send_requests(front, per_second, stopped, &records));
        });
        Self { done, stop, thread }
    }

    /// The number of finished requests.
    pub(crate) fn count(&self) -> usize {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until this many more requests have finished.
    pub(crate) fn more(&self, count: usize) -> Result<()> {
        let wanted = self.count() + count;
        wait::until("the end of requests", REQUEST_LIMIT, || Ok((self.count() >= wanted).then_some(())))
    }

    /// Starts no more requests, waits for the open ones and returns all.
    pub(crate) fn stop(self) -> Vec<Request> {
        let _ = self.stop.send(());
        self.thread.join().unwrap();
        std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn send_requests(
    front: SocketAddr,
    per_second: u32,
    mut stopped: oneshot::Receiver<()>,
    records: &Arc<Mutex<Vec<Request>>>,
) {
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            _ = ticks.tick() => {}
        }
        let records = Arc::clone(records);
        open.spawn(async move {
            let began = Instant::now();
            let answer = match timeout(REQUEST_LIMIT, request(front)).await {
                Ok(answer) => answer,
                Err(_) => Err("no answer in time".to_owned()),
            };
            let request = Request { began, took: began.elapsed(), answer };
            records.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        });
        while open.try_join_next().is_some() {}
    }
    while open.join_next().await.is_some() {}
}

/// Sends one HTTP/0.9 request, which the test servers read as a line.
async fn request(front: SocketAddr) -> std::result::Result<String, String> {
    let mut stream = TcpStream::connect(front).await.map_err(|error| format!("connect: {error}"))?;
    let asked = stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await;
    asked.map_err(|error| format!("send: {error}"))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(|error| format!("receive: {error}"))?;
    answer.lines().last().map(str::to_owned).ok_or_else(|| "an empty answer".to_owned())
}

/// Returns this percentile of the durations.
pub(crate) fn percentile(requests: &[Request], percent: usize) -> Duration {
    let mut times: Vec<Duration> = requests.iter().map(|request| request.took).collect();
    times.sort_unstable();
    let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(place).copied().unwrap_or_default()
}
