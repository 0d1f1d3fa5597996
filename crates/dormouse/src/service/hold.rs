//! Holding clients while a server is on its way. One of them tries, so that a server that starts does not meet a
//! crowd; when it gets through, all others go at once.

use dormouse_core::backoff::Backoff;
use dormouse_relay::Stream;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Refusal, Service};
use crate::connect::ConnectError;
use crate::connect::watch::PathWatch;

/// Whose turn it is to try, and how often the server was found to be there.
#[derive(Debug)]
pub(super) struct Turn {
    trying: Mutex<()>,
    found: watch::Sender<u64>,
}

impl Turn {
    pub(super) fn new() -> Self {
        Self { trying: Mutex::new(()), found: watch::Sender::new(0) }
    }
}

impl Service {
    /// Holds a client after a first failure until the server takes it.
    pub(super) async fn hold(&self, client: &mut Stream, first: ConnectError) -> Result<Stream, Refusal> {
        let since = Instant::now();
        let deadline = self.wait.finite().and_then(|wait| since.checked_add(wait));
        let mut last = first;
        let outcome = tokio::select! {
            biased;
            connected = self.await_server(&mut last) => Some(connected),
            () = client.departed() => return Err(Refusal::ClientLeft),
            () = at(deadline) => None,
        };
        match outcome {
            Some(Ok(server)) => Ok(server),
            Some(Err(error)) => Err(Refusal::Unreachable(error)),
            None => Err(Refusal::HoldTimeout(since.elapsed(), last)),
        }
    }

    async fn await_server(&self, last: &mut ConnectError) -> Result<Stream, ConnectError> {
        let mut found = self.turn.found.subscribe();
        loop {
            tokio::select! {
                _turn = self.turn.trying.lock() => {
                    let server = self.poll_server(last).await;
                    self.turn.found.send_modify(|times| *times += 1);
                    return server;
                }
                _ = found.changed() => {}
            }
            match self.route.connect(true).await {
                Err(error) if error.may_pass() => *last = error,
                result => return result,
            }
        }
    }

    /// Tries until the server is there, as soon as something tells of it and otherwise with growing delays.
    async fn poll_server(&self, last: &mut ConnectError) -> Result<Stream, ConnectError> {
        let mut watch = self.route.path().and_then(PathWatch::new);
        let mut backoff = Backoff::COLD_START;
        loop {
            match self.route.connect(true).await {
                Err(error) if error.may_pass() => *last = error,
                result => return result,
            }
            let delay = sleep(backoff.next_delay());
            match &mut watch {
                None => delay.await,
                Some(watch) => tokio::select! {
                    () = watch.changed() => backoff.reset(),
                    () = delay => {}
                },
            }
        }
    }
}

/// Waits for a deadline, or for ever without one.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
