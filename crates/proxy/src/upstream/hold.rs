//! Holds clients while a server does not take connections yet. One held client at a time tries to connect, so that a
//! starting server does not get all connections at once. Its success releases all others at once.

use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use dormouse_relay::Stream;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::deadline::Deadline;
use crate::admission::{FdPressure, Permit};
use crate::refusal::Refusal;
use dormouse_connect::retry_pace::RetryPace;
use dormouse_connect::{ConnectAs, ConnectError, OnRefused, PERMISSION_GRACE, Route};

/// The route to a server, and the clients that are held until the server takes connections.
#[derive(Debug)]
pub(super) struct HeldRoute {
    route: Arc<Route>,
    leader: HoldLeader,
}

/// Decides which of the held clients tries to connect.
#[derive(Debug)]
struct HoldLeader {
    /// The client that has the lock tries to connect.
    trying: Mutex<()>,
    /// Counts how often a leader stopped trying, with a connection or without.
    finished: watch::Sender<u64>,
}

/// The last failure of a held client.
struct Failure<'a> {
    permit: &'a Permit,
    connect_as: ConnectAs,
    error: ConnectError,
    /// The time since which attempts fail only for a missing permission.
    forbidden_since: Option<Instant>,
    /// Held while the client lacks a descriptor, so that no newcomer takes it.
    _fd_pressure: Option<FdPressure<'a>>,
}

impl<'a> Failure<'a> {
    fn new(permit: &'a Permit, connect_as: ConnectAs, error: ConnectError) -> Self {
        let fd_pressure = error.lacks_resources().then(|| permit.report_fd_pressure());
        let forbidden_since = error.is_permission_denied().then(Instant::now);
        Self { permit, connect_as, forbidden_since, _fd_pressure: fd_pressure, error }
    }

    /// Returns whether another attempt may succeed after this error.
    fn is_transient(&self, error: &ConnectError) -> bool {
        let waited =
            self.forbidden_since.filter(|_| error.is_permission_denied()).map(|since| since.elapsed());
        error.is_transient() && waited.is_none_or(|waited| waited < PERMISSION_GRACE)
    }

    /// Keeps the error of an attempt and returns `None` if another attempt may succeed. Otherwise returns the result.
    fn final_result(&mut self, result: Result<Stream, ConnectError>) -> Option<Result<Stream, ConnectError>> {
        match result {
            Err(error) if self.is_transient(&error) => {
                let since = self.forbidden_since;
                *self = Self::new(self.permit, self.connect_as.clone(), error);
                self.forbidden_since = self.forbidden_since.map(|now| since.unwrap_or(now));
                None
            }
            result => Some(result),
        }
    }
}

impl HeldRoute {
    pub(super) fn new(route: Arc<Route>) -> Self {
        Self { route, leader: HoldLeader { trying: Mutex::new(()), finished: watch::Sender::new(0) } }
    }

    /// Returns the route to the server.
    pub(super) fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Tries once to connect, for a client that may leave or reach its deadline meanwhile.
    ///
    /// # Errors
    /// The outer error ends the client's wait. The inner error is the reason why the attempt failed.
    pub(super) async fn connect(
        &self,
        client: &mut Stream,
        client_has_data: bool,
        deadline: Deadline,
    ) -> Result<Result<Stream, ConnectError>, Refusal> {
        let on_refused = if deadline.is_immediate() { OnRefused::GiveUp } else { OnRefused::Retry };
        if self.route.passes_credentials() {
            return Box::pin(self.connect_with_credentials(client, client_has_data, on_refused, deadline))
                .await;
        }
        let mut connecting = pin!(self.route.connect(client_has_data, on_refused));
        let immediate = poll_fn(|cx| {
            Poll::Ready(match connecting.as_mut().poll(cx) {
                Poll::Ready(connected) => Some(connected),
                Poll::Pending => None,
            })
        });
        match immediate.await {
            Some(connected) => Ok(connected),
            // Boxed: a connection within the machine is complete at once and never gets here.
            None => Box::pin(self.await_connection(connecting, client, deadline)).await,
        }
    }

    /// Tries once to connect, with the credentials of the client.
    async fn connect_with_credentials(
        &self,
        client: &mut Stream,
        client_has_data: bool,
        on_refused: OnRefused,
        deadline: Deadline,
    ) -> Result<Result<Stream, ConnectError>, Refusal> {
        let connect_as = match self.route.connect_as(client, client_has_data) {
            Ok(connect_as) => connect_as,
            Err(error) => return Ok(Err(error)),
        };
        let connecting = pin!(self.route.connect_client(&connect_as, on_refused));
        self.await_connection(connecting, client, deadline).await
    }

    async fn await_connection(
        &self,
        connecting: Pin<&mut impl Future<Output = Result<Stream, ConnectError>>>,
        client: &mut Stream,
        deadline: Deadline,
    ) -> Result<Result<Stream, ConnectError>, Refusal> {
        let expired = async {
            // Without a hold only the connection's own timeout counts.
            if deadline.is_immediate() { pending().await } else { deadline.expired().await }
        };
        tokio::select! {
            biased;
            connected = connecting => Ok(connected),
            () = client.wait_for_departure() => Err(Refusal::ClientLeft),
            () = expired => Err(Refusal::HoldTimeout(deadline.waited(), self.route.unanswered())),
        }
    }

    /// Holds a client after a first failure until the server takes its connection.
    ///
    /// # Errors
    /// When the client leaves, the deadline is reached, or an error occurs that does not pass.
    pub(super) async fn hold(
        &self,
        client: &mut Stream,
        client_has_data: bool,
        permit: &Permit,
        first: ConnectError,
        deadline: Deadline,
    ) -> Result<Stream, Refusal> {
        let connect_as = self.route.connect_as(client, client_has_data).map_err(Refusal::Unreachable)?;
        let mut failure = Failure::new(permit, connect_as, first);
        let outcome = tokio::select! {
            biased;
            connected = self.await_server(&mut failure) => Some(connected),
            () = client.wait_for_departure() => return Err(Refusal::ClientLeft),
            () = deadline.expired() => None,
        };
        match outcome {
            Some(Ok(server)) => Ok(server),
            Some(Err(error)) => Err(Refusal::Unreachable(error)),
            None => Err(Refusal::HoldTimeout(deadline.waited(), failure.error)),
        }
    }

    /// Waits until the client is the leader and connects, or until another leader has finished.
    async fn await_server(&self, failure: &mut Failure<'_>) -> Result<Stream, ConnectError> {
        let mut finished = self.leader.finished.subscribe();
        loop {
            tokio::select! {
                _leading = self.leader.trying.lock() => {
                    let server = self.connect_as_leader(failure).await;
                    self.leader.finished.send_modify(|times| *times += 1);
                    return server;
                }
                _ = finished.changed() => {}
            }
            let result = self.route.connect_client(&failure.connect_as, OnRefused::Retry).await;
            if let Some(result) = failure.final_result(result) {
                return result;
            }
        }
    }

    /// Tries again and again: as soon as the server's socket appears, otherwise after growing delays.
    async fn connect_as_leader(&self, failure: &mut Failure<'_>) -> Result<Stream, ConnectError> {
        let mut pace = RetryPace::new(self.route.path());
        loop {
            pace.watch(failure.error.lacks_resources());
            let result = self.route.connect_client(&failure.connect_as, OnRefused::Retry).await;
            if let Some(result) = failure.final_result(result) {
                return result;
            }
            if failure.error.concerns_client() {
                // The server may take the others.
                self.leader.finished.send_modify(|times| *times += 1);
            }
            pace.next_try().await;
        }
    }
}

#[cfg(test)]
mod tests;
