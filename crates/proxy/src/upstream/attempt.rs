//! A client's attempts to connect to one of several servers: a slot, a connection, and another server where one fails.

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;

use dormouse_core::pool::{Status, hash};
use dormouse_relay::Stream;
use tokio::time::{Instant, sleep_until};

use super::UpstreamRequest;
use super::deadline::Deadline;
use super::guard::ServerGuard;
use super::rules::ClientRules;
use super::select::{ConnectionSlot, Pool, RetryEvent, RetryRules, SlotReply};
use super::server::{AttemptError, Server};
use crate::refusal::Refusal;
use dormouse_connect::ConnectError;

/// Connects a client to one of several servers.
///
/// # Errors
/// The reason why the client gets no server.
pub(super) async fn connect(
    pool: &Arc<Pool>,
    servers: &[Server],
    rules: &ClientRules,
    request: &mut UpstreamRequest<'_>,
    deadline: Deadline,
) -> Result<(Stream, ServerGuard), Refusal> {
    let client_hash = client_hash(request.address);
    let mut attempt = Attempt {
        pool,
        servers,
        rules,
        deadline,
        client_hash,
        current: None,
        tried: Vec::new(),
        failures: 0,
    };
    let connected = attempt.connect(request).await;
    if let (Err(refusal), Some(server)) = (&connected, attempt.current) {
        if refusal.is_server_failure() {
            pool.count(server, RetryEvent::Failed);
        }
    }
    connected
}

/// The attempts of one client.
struct Attempt<'a> {
    pool: &'a Arc<Pool>,
    servers: &'a [Server],
    rules: &'a ClientRules,
    deadline: Deadline,
    client_hash: u64,
    /// The server that is being tried.
    current: Option<usize>,
    /// The servers that have failed since the client last waited.
    tried: Vec<bool>,
    failures: u32,
}

/// What follows after a failure.
enum Next {
    /// The same server took the connection after all.
    Connected(Stream, ConnectionSlot),
    /// Try the server of this slot.
    Try(ConnectionSlot),
    /// The server no longer takes sessions: request a slot again.
    RequestSlot,
}

impl Attempt<'_> {
    async fn connect(&mut self, request: &mut UpstreamRequest<'_>) -> Result<(Stream, ServerGuard), Refusal> {
        let (pool, servers, deadline) = (self.pool, self.servers, self.deadline);
        let mut slot = self.await_slot(request).await?;
        loop {
            self.current = Some(slot.server());
            let Some(server) = servers.get(slot.server()) else {
                return Err(Refusal::NoServer(deadline.waited()));
            };
            if server.wakeable.is_some() {
                let may_wake = self.rules.may_wake(request);
                match server.wake_and_connect(request, may_wake, deadline).await {
                    Ok((connected, lease)) => {
                        pool.record_session(slot.server(), true);
                        return Ok((connected, ServerGuard::pooled(Some(lease), slot)));
                    }
                    Err(AttemptError::ServerStopped) => {}
                    Err(AttemptError::Refused(refusal)) => return Err(refusal),
                    Err(AttemptError::ServerFailed(refusal)) => {
                        self.mark_tried(slot.server());
                        slot = self.other_slot(slot.server()).ok_or(refusal)?;
                    }
                }
                continue;
            }
            // Another server may be quicker than this one. That is decided when this connection has failed.
            let (target, endless) = (&server.target, deadline.without_end());
            let connected = tokio::select! {
                connected = target.connect(request.client, request.client_has_data, endless) => connected?,
                () = went_down(pool, slot.server()) => {
                    drop(slot);
                    slot = self.await_slot(request).await?;
                    continue;
                }
            };
            let error = match connected {
                Ok(connected) => {
                    pool.record_session(slot.server(), true);
                    return Ok((connected, ServerGuard::pooled(None, slot)));
                }
                Err(error) => error,
            };
            match self.after_failure(server, request, slot, error).await? {
                Next::Connected(connected, slot) => return Ok((connected, ServerGuard::pooled(None, slot))),
                Next::Try(next) => slot = next,
                Next::RequestSlot => slot = self.await_slot(request).await?,
            }
        }
    }

    /// Waits for a slot at a server until the client's deadline or the queue's timeout.
    async fn await_slot(&mut self, request: &mut UpstreamRequest<'_>) -> Result<ConnectionSlot, Refusal> {
        self.tried.clear();
        self.current = None;
        let mut queued = match self.pool.request_slot(self.client_hash) {
            SlotReply::Granted(slot) => return Ok(slot),
            SlotReply::Queued(queued) => queued,
            SlotReply::Refused => return Err(Refusal::QueueFull),
        };
        tokio::select! {
            biased;
            slot = queued.granted() => Ok(slot),
            () = request.client.wait_for_departure() => Err(Refusal::ClientLeft),
            refusal = queue_timeout(self.pool, self.deadline) => Err(refusal),
        }
    }

    /// Decides what follows when a server did not take the connection: another server where the rules allow it,
    /// otherwise the same server for a while.
    async fn after_failure(
        &mut self,
        server: &Server,
        request: &mut UpstreamRequest<'_>,
        slot: ConnectionSlot,
        error: ConnectError,
    ) -> Result<Next, Refusal> {
        let (index, RetryRules { retries, turn_around, .. }) = (slot.server(), self.pool.retry_rules());
        self.failures = self.failures.saturating_add(1);
        let exhausted = self.failures > retries;
        if !error.is_local_limit() && !error.is_busy() && !error.concerns_client() {
            self.pool.record_session(index, false);
        }
        self.mark_tried(index);
        let mut changes = self.pool.changes();
        if self.may_redispatch(index, &error) {
            if let Some(slot) = self.other_slot(index) {
                return Ok(Next::Try(slot));
            }
        }
        // The server's socket does not let this client in. It must not take a slot from others.
        let is_denied = error.concerns_client() && !error.is_transient();
        let is_over = self.deadline.is_over() || !error.is_transient() || error.is_permission_denied();
        if is_denied || (exhausted && is_over) {
            let held = self.deadline.is_over() && !self.deadline.is_immediate();
            return Err(if held {
                Refusal::HoldTimeout(self.deadline.waited(), error)
            } else {
                Refusal::Unreachable(error)
            });
        }
        if !self.pool.takes_sessions(index) {
            return Ok(Next::RequestSlot);
        }
        self.pool.count(index, RetryEvent::Retried);
        let round = self.deadline.of_round(turn_around, exhausted);
        let waited = tokio::select! {
            waited = retry(server, request, error, round) => waited,
            _ = changes.changed() => None,
        };
        self.tried.clear();
        match waited {
            Some(Ok(connected)) => {
                self.pool.record_session(index, true);
                Ok(Next::Connected(connected, slot))
            }
            Some(Err(Refusal::ClientLeft)) => Err(Refusal::ClientLeft),
            _ if self.pool.takes_sessions(index) => Ok(Next::Try(slot)),
            _ => Ok(Next::RequestSlot),
        }
    }

    /// Returns whether to try another server, as `HAProxy` does: at the last retry, when the server is down, and at once
    /// where the balance algorithm takes turns. The client also leaves a busy server, and one that cannot work.
    fn may_redispatch(&self, server: usize, error: &ConnectError) -> bool {
        let RetryRules { retries, redispatch, .. } = self.pool.retry_rules();
        let has_reason = self.failures >= retries
            || error.is_busy()
            || !error.is_transient()
            || error.is_permission_denied()
            || self.pool.balance().redispatches_at_once()
            || !self.pool.takes_sessions(server);
        redispatch && !error.is_local_limit() && has_reason
    }

    fn mark_tried(&mut self, server: usize) {
        if self.tried.is_empty() {
            self.tried = vec![false; self.servers.len()];
        }
        if let Some(tried) = self.tried.get_mut(server) {
            *tried = true;
        }
    }

    /// Returns a slot at another server than this, if one has capacity.
    fn other_slot(&self, server: usize) -> Option<ConnectionSlot> {
        let slot = self.pool.other_slot(self.client_hash, &self.tried)?;
        self.pool.count(server, RetryEvent::Redispatched);
        Some(slot)
    }
}

/// Waits for one round until the server takes the connection. After an error that does not pass it only waits.
async fn retry(
    server: &Server,
    request: &mut UpstreamRequest<'_>,
    error: ConnectError,
    round: Deadline,
) -> Option<Result<Stream, Refusal>> {
    if error.is_transient() {
        let UpstreamRequest { client, client_has_data, permit, .. } = request;
        return Some(server.target.hold(client, *client_has_data, permit, error, round).await);
    }
    tokio::select! {
        () = request.client.wait_for_departure() => Some(Err(Refusal::ClientLeft)),
        () = round.expired() => None,
    }
}

/// Ends when health checks find a server down, because a connection on its way there would only take its time.
async fn went_down(pool: &Pool, server: usize) {
    if !pool.is_checked(server) {
        return pending().await;
    }
    let mut changes = pool.changes();
    while pool.status(server) != Some(Status::Down) || pool.takes_sessions(server) {
        if changes.changed().await.is_err() {
            return pending().await;
        }
    }
}

/// Ends when a client has waited long enough in the queue, and returns the reason. While a server takes sessions the
/// queue's timeout counts, otherwise the client's deadline.
async fn queue_timeout(pool: &Pool, deadline: Deadline) -> Refusal {
    let entered = Instant::now();
    let queue_timeout = pool.retry_rules().queue_timeout;
    let queue_end = queue_timeout.finite().and_then(|span| entered.checked_add(span));
    let mut changes = pool.changes();
    loop {
        let usable = pool.has_usable_server();
        let over = async {
            match if usable { queue_end } else { deadline.at() } {
                Some(end) => sleep_until(end).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = over => {
                return if usable {
                    Refusal::QueueTimeout(entered.elapsed())
                } else {
                    Refusal::NoServer(deadline.waited())
                };
            }
            _ = changes.changed() => {}
        }
    }
}

/// Returns a number that stands for a client. All clients of UNIX sockets have the same number.
fn client_hash(address: Option<IpAddr>) -> u64 {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => hash(&address.octets()),
        Some(IpAddr::V6(address)) => hash(&address.octets()),
        None => hash(&[]),
    }
}
