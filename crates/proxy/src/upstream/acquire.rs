//! The whole way of a client to a server: [`Upstream::acquire`].

use std::sync::Arc;

use dormouse_config::model::WakeOn;
use dormouse_core::activation::LeaseRefusal;
use dormouse_core::backoff::Backoff;
use dormouse_relay::{ExchangeEnd, Replay, ReplayBuffer, Stream, StreamKind};
use tokio::time::sleep;

use super::deadline::Deadline;
use super::guard::ServerGuard;
use super::rules::ClientRules;
use super::select::Pool;
use super::server::{AttemptError, Server};
use super::wakeable::Lease;
use super::{UpstreamConn, UpstreamRequest, attempt};
use crate::refusal::Refusal;

/// The number of runs of a server that may drop a client's connection before their first byte. Then the client is
/// refused, because its own bytes may be the reason.
const MAX_DROPPING_RUNS: u32 = 3;

/// The servers of a service, and the rules by which clients get one of them.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) servers: Vec<Server>,
    /// Chooses among the servers. `None`: there is one server, without rules of its own.
    pub(super) pool: Option<Arc<Pool>>,
    pub(super) rules: ClientRules,
}

impl Upstream {
    /// Gets a connection to a server for a client. The server receives `prefix` before the client's bytes.
    ///
    /// A single server that dormouse does not start is connected to at once, and the client is held if that fails.
    /// Otherwise see [`Self::acquire_managed`].
    ///
    /// # Errors
    /// The reason why the client gets no server.
    pub(super) async fn acquire(
        &self,
        request: UpstreamRequest<'_>,
        prefix: Vec<u8>,
    ) -> Result<UpstreamConn, Refusal> {
        let ([server @ Server { wakeable: None, .. }], None) = (self.servers.as_slice(), &self.pool) else {
            // Boxed, so that the sessions of a single unmanaged server stay small.
            return Box::pin(self.acquire_managed(request, prefix)).await;
        };
        if !server.admin.takes_sessions() {
            return Err(Refusal::Maintenance);
        }
        let UpstreamRequest { client, client_has_data, permit, .. } = request;
        let deadline = Deadline::new(self.rules.hold_timeout);
        let server = match server.target.connect(client, client_has_data, deadline).await? {
            Ok(connected) => connected,
            Err(error) if deadline.is_immediate() || !error.is_transient() => {
                return Err(Refusal::Unreachable(error));
            }
            // Boxed: most sessions are never held.
            Err(error) => {
                Box::pin(server.target.hold(client, client_has_data, permit, error, deadline)).await?
            }
        };
        Ok(UpstreamConn { server, guard: None, prefix, sent: 0 })
    }

    /// Gets a connection to a wakeable server, or to one of several servers:
    ///
    /// 1. wait for the client's first data, where only data wakes the service;
    /// 2. choose a server, wait for a slot and for a lease (this wakes the server), and connect;
    /// 3. carry out the first exchange, where a freshly started server may drop the connection, and start again at 2
    ///    if it does;
    /// 4. keep this server for the rest of the session.
    async fn acquire_managed(
        &self,
        mut request: UpstreamRequest<'_>,
        prefix: Vec<u8>,
    ) -> Result<UpstreamConn, Refusal> {
        let deadline = Deadline::new(self.rules.hold_timeout);
        if self.rules.wake_on == WakeOn::Data && !self.servers.iter().any(Server::is_up) {
            await_first_data(&mut request, deadline).await?;
        }
        let mut buffer = ReplayBuffer::new(prefix);
        let mut drops = DroppedConnections::new();
        loop {
            let (mut server, mut guard) = self.connect(&mut request, deadline).await?;
            let lease = guard.lease();
            if self.may_drop(lease, request.client, &server) {
                match (first_exchange(&mut buffer, &mut request, &mut server, deadline).await, lease) {
                    (ExchangeEnd::Answered, Some(lease)) => lease.server().record_first_byte(),
                    (ExchangeEnd::Answered | ExchangeEnd::NotReplayable | ExchangeEnd::Finished, _) => {}
                    (ExchangeEnd::ClientLeft, _) => {
                        guard.mark_served();
                        return Err(Refusal::ClientLeft);
                    }
                    (ExchangeEnd::Dropped(_), _) => {
                        drops.record(lease);
                        drop((server, guard));
                        drops.delay_next_attempt(deadline).await?;
                        buffer.rewind();
                        continue;
                    }
                }
            }
            guard.mark_established();
            let sent = u64::try_from(buffer.sent()).unwrap_or(u64::MAX);
            return Ok(UpstreamConn { server, guard: Some(guard), prefix: buffer.into_unsent(), sent });
        }
    }

    /// Connects to a server of the pool, or to the only server.
    async fn connect(
        &self,
        request: &mut UpstreamRequest<'_>,
        deadline: Deadline,
    ) -> Result<(Stream, ServerGuard), Refusal> {
        match &self.pool {
            Some(pool) => attempt::connect(pool, &self.servers, &self.rules, request, deadline).await,
            None => self.connect_to_only_server(request, deadline).await,
        }
    }

    async fn connect_to_only_server(
        &self,
        request: &mut UpstreamRequest<'_>,
        deadline: Deadline,
    ) -> Result<(Stream, ServerGuard), Refusal> {
        let Some(server) = self.servers.first() else {
            return Err(Refusal::NotWoken(LeaseRefusal::StartFailed, None));
        };
        loop {
            if !server.admin.takes_sessions() {
                return Err(Refusal::Maintenance);
            }
            let may_wake = self.rules.may_wake(request);
            match server.wake_and_connect(request, may_wake, deadline).await {
                Ok((connected, lease)) => return Ok((connected, ServerGuard::Lease(lease))),
                Err(AttemptError::Refused(refusal) | AttemptError::ServerFailed(refusal)) => {
                    return Err(refusal);
                }
                Err(AttemptError::ServerStopped) => {}
            }
        }
    }

    /// Returns whether the server may drop the connection although it took it: it has sent nothing since its start.
    /// Where descriptors travel with the bytes, these cannot be sent again.
    fn may_drop(&self, lease: Option<&Lease>, client: &Stream, server: &Stream) -> bool {
        let carries_descriptors = client.kind() == StreamKind::Unix && server.kind() == StreamKind::Unix;
        self.rules.replay && !carries_descriptors && lease.is_some_and(|lease| !lease.server().has_sent())
    }
}

/// Waits until the client sends data.
async fn await_first_data(request: &mut UpstreamRequest<'_>, deadline: Deadline) -> Result<(), Refusal> {
    if request.client_has_data {
        return Ok(());
    }
    tokio::select! {
        has_data = request.client.wait_for_data() => if has_data { Ok(()) } else { Err(Refusal::ClientLeft) },
        () = deadline.expired() => Err(Refusal::NoFirstData(deadline.waited())),
    }
}

/// Relays the client's bytes until the server's first byte. At the deadline the exchange becomes an ordinary session.
async fn first_exchange(
    buffer: &mut ReplayBuffer,
    request: &mut UpstreamRequest<'_>,
    server: &mut Stream,
    deadline: Deadline,
) -> ExchangeEnd {
    let mut replay = Replay::new(buffer, request.client, server, request.pipes);
    let outcome = tokio::select! {
        outcome = replay.outcome() => outcome,
        () = deadline.expired() => ExchangeEnd::NotReplayable,
    };
    replay.finish();
    outcome
}

/// The connections of one client that servers dropped before the first byte.
struct DroppedConnections {
    backoff: Backoff,
    /// The number of runs that dropped a connection.
    runs: u32,
    /// The last run: the server's name and the number of the run.
    last_run: Option<(String, u32)>,
}

impl DroppedConnections {
    fn new() -> Self {
        Self { backoff: Backoff::READINESS, runs: 0, last_run: None }
    }

    /// Records a dropped connection to the server of this lease.
    fn record(&mut self, lease: Option<&Lease>) {
        let run = lease.map(|lease| (lease.server().name().to_owned(), lease.run()));
        self.runs += u32::from(self.last_run != run);
        self.last_run = run;
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// When too many runs dropped the client, or the deadline is reached.
    async fn delay_next_attempt(&mut self, deadline: Deadline) -> Result<(), Refusal> {
        if self.runs >= MAX_DROPPING_RUNS {
            return Err(Refusal::Dropped(deadline.waited()));
        }
        tokio::select! {
            () = sleep(self.backoff.next_delay()) => Ok(()),
            () = deadline.expired() => Err(Refusal::Dropped(deadline.waited())),
        }
    }
}
