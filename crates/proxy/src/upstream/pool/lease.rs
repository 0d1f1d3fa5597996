//! A client's way to one of several servers: a place, a connection, and another server where that fails.

use std::net::IpAddr;
use std::sync::Arc;

use dormouse_core::pool::{Status, hash};
use dormouse_relay::Stream;
use tokio::time::{Instant, sleep_until};

use super::{Asked, Place, Pool, Tries, Trouble};
use crate::connect::ConnectError;
use crate::refusal::Refusal;
use crate::upstream::hold::Patience;
use crate::upstream::server_guard::ServerGuard;
use crate::upstream::wake::Missed;
use crate::upstream::{Server, Service, UpstreamRequest};

/// One client's tries.
struct Way<'a> {
    pool: &'a Arc<Pool>,
    patience: Patience,
    /// Stands for the client.
    client: u64,
    /// The server that is being tried.
    at: Option<usize>,
    /// The servers that failed it since it last waited.
    tried: Vec<bool>,
    failures: u32,
}

/// What follows a failure.
enum Next {
    /// The same server took it after all.
    Connected(Stream, Place),
    /// A place at the same or another server.
    Try(Place),
    /// The server takes no sessions any more: ask anew.
    Ask,
}

impl Service {
    /// Gets a connection from one of several servers.
    pub(in crate::upstream) async fn lease_of_pool(
        &self,
        pool: &Arc<Pool>,
        request: &mut UpstreamRequest<'_>,
        patience: Patience,
    ) -> Result<(Stream, ServerGuard), Refusal> {
        let client = client_hash(request.address);
        let mut way = Way { pool, patience, client, at: None, tried: Vec::new(), failures: 0 };
        let leased = self.lease_on(&mut way, request).await;
        if let (Err(refusal), Some(server)) = (&leased, way.at) {
            if refusal.is_server_failure() {
                pool.count(server, Trouble::Failed);
            }
        }
        leased
    }

    async fn lease_on(
        &self,
        way: &mut Way<'_>,
        request: &mut UpstreamRequest<'_>,
    ) -> Result<(Stream, ServerGuard), Refusal> {
        let (pool, patience) = (way.pool, way.patience);
        let mut place = way.place(request).await?;
        loop {
            way.at = Some(place.server());
            let Some(server) = self.servers.get(place.server()) else {
                return Err(Refusal::NoServer(patience.since.elapsed()));
            };
            if server.sleeper.is_some() {
                match self.lease_from(server, request, patience).await {
                    Ok((connected, lease)) => {
                        pool.observed(place.server(), true);
                        return Ok((connected, ServerGuard::pooled(Some(lease), place)));
                    }
                    Err(Missed::Gone) => {}
                    Err(Missed::Refused(refusal)) => return Err(refusal),
                    Err(Missed::Next(refusal)) => {
                        way.mark(place.server());
                        place = way.leave(place.server()).ok_or(refusal)?;
                    }
                }
                continue;
            }
            let connected = tokio::select! {
                // Another server may be quicker than this one: that is decided when this try has failed.
                connected = server.connect_for(request.client, request.client_has_data, patience.endless()) => connected?,
                () = pool.went_down(place.server()) => {
                    drop(place);
                    place = way.place(request).await?;
                    continue;
                }
            };
            let error = match connected {
                Ok(connected) => {
                    pool.observed(place.server(), true);
                    return Ok((connected, ServerGuard::pooled(None, place)));
                }
                Err(error) => error,
            };
            match way.after(server, request, place, error).await? {
                Next::Connected(connected, place) => {
                    return Ok((connected, ServerGuard::pooled(None, place)));
                }
                Next::Try(next) => place = next,
                Next::Ask => place = way.place(request).await?,
            }
        }
    }
}

impl Way<'_> {
    /// Waits for a place at a server as long as the client and the rules have patience.
    async fn place(&mut self, request: &mut UpstreamRequest<'_>) -> Result<Place, Refusal> {
        self.tried.clear();
        self.at = None;
        let mut queued = match self.pool.ask(self.client) {
            Asked::Granted(place) => return Ok(place),
            Asked::Queued(queued) => queued,
            Asked::Refused => return Err(Refusal::QueueFull),
        };
        tokio::select! {
            biased;
            place = queued.granted() => Ok(place),
            () = request.client.wait_for_departure() => Err(Refusal::ClientLeft),
            refusal = self.pool.lose_patience(self.patience) => Err(refusal),
        }
    }

    /// A server did not take the connection. Another is tried where the rules say so; otherwise the same for a while.
    async fn after(
        &mut self,
        server: &Server,
        request: &mut UpstreamRequest<'_>,
        place: Place,
        error: ConnectError,
    ) -> Result<Next, Refusal> {
        let (index, Tries { retries, turn_around, .. }) = (place.server(), self.pool.tries);
        self.failures = self.failures.saturating_add(1);
        let exhausted = self.failures > retries;
        if !error.is_local_limit() && !error.is_busy() {
            self.pool.observed(index, false);
        }
        self.mark(index);
        let mut changes = self.pool.changes.subscribe();
        if self.may_move_on(index, &error) {
            if let Some(place) = self.leave(index) {
                return Ok(Next::Try(place));
            }
        }
        if exhausted && (self.patience.is_over() || !error.is_transient() || error.is_permission_denied()) {
            let held = self.patience.is_over() && !self.patience.is_none();
            return Err(if held {
                Refusal::HoldTimeout(self.patience.since.elapsed(), error)
            } else {
                Refusal::Unreachable(error)
            });
        }
        if !self.pool.takes_sessions(index) {
            return Ok(Next::Ask);
        }
        self.pool.count(index, Trouble::Retried);
        let round = self.patience.round(turn_around, exhausted);
        let waited = tokio::select! {
            waited = wait(server, request, error, round) => waited,
            _ = changes.changed() => None,
        };
        self.tried.clear();
        match waited {
            Some(Ok(connected)) => {
                self.pool.observed(index, true);
                Ok(Next::Connected(connected, place))
            }
            Some(Err(Refusal::ClientLeft)) => Err(Refusal::ClientLeft),
            _ if self.pool.takes_sessions(index) => Ok(Next::Try(place)),
            _ => Ok(Next::Ask),
        }
    }

    /// Whether another server is to be tried, as `HAProxy` does: at the last retry, where the server is known to be
    /// down, and at once where sessions are dealt out in turn. What is busy or will not do at all is left, too.
    fn may_move_on(&self, server: usize, error: &ConnectError) -> bool {
        let Tries { retries, redispatch, .. } = self.pool.tries;
        let there_is_reason = self.failures >= retries
            || error.is_busy()
            || !error.is_transient()
            || error.is_permission_denied()
            || self.pool.balance().redispatches_at_once()
            || !self.pool.takes_sessions(server);
        redispatch && !error.is_local_limit() && there_is_reason
    }

    fn mark(&mut self, server: usize) {
        if self.tried.is_empty() {
            self.tried = vec![false; self.pool.slots.len()];
        }
        if let Some(tried) = self.tried.get_mut(server) {
            *tried = true;
        }
    }

    /// A place at another server than this, if one has room.
    fn leave(&self, server: usize) -> Option<Place> {
        let place = self.pool.another(self.client, &self.tried)?;
        self.pool.count(server, Trouble::Left);
        Some(place)
    }
}

/// Waits until the server takes the connection after all; for what does not pass by waiting it only waits.
async fn wait(
    server: &Server,
    request: &mut UpstreamRequest<'_>,
    error: ConnectError,
    round: Patience,
) -> Option<Result<Stream, Refusal>> {
    if error.is_transient() {
        return Some(
            server.hold(request.client, request.client_has_data, request.permit, error, round).await,
        );
    }
    tokio::select! {
        () = request.client.wait_for_departure() => Some(Err(Refusal::ClientLeft)),
        () = round.over() => None,
    }
}

impl Pool {
    fn count(&self, server: usize, trouble: Trouble) {
        if let Some(slot) = self.slots.get(server) {
            slot.troubles.count(trouble);
        }
    }

    /// Ends when checks find that a server is down: a connection on its way there would only take its time.
    async fn went_down(&self, server: usize) {
        if !self.slots.get(server).is_some_and(|slot| slot.is_checked) {
            return std::future::pending().await;
        }
        let mut changes = self.changes.subscribe();
        while self.status(server) != Some(Status::Down) || self.takes_sessions(server) {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Ends when somebody in the queue has waited for long enough, with the reason.
    async fn lose_patience(&self, patience: Patience) -> Refusal {
        let entered = Instant::now();
        let queue_ends = self.tries.queue_timeout.finite().and_then(|span| entered.checked_add(span));
        let mut changes = self.changes.subscribe();
        loop {
            let served = self.is_served();
            let over = async {
                match if served { queue_ends } else { patience.deadline } {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => {
                    return if served {
                        Refusal::QueueTimeout(entered.elapsed())
                    } else {
                        Refusal::NoServer(patience.since.elapsed())
                    };
                }
                _ = changes.changed() => {}
            }
        }
    }
}

/// Stands for a client. Those of UNIX sockets are all the same.
fn client_hash(address: Option<IpAddr>) -> u64 {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => hash(&address.octets()),
        Some(IpAddr::V6(address)) => hash(&address.octets()),
        None => hash(&[]),
    }
}
