//! One server of a service, and a client's connection to it if it has to be woken first.

use std::sync::Arc;
use std::time::Duration;

use dormouse_core::activation::LeaseRefusal;
use dormouse_core::backoff::Backoff;
use dormouse_core::control::AdminState;
use dormouse_relay::Stream;
use tokio::time::sleep;

use super::UpstreamRequest;
use super::activation::KeepAlive;
use super::admin::AdminCell;
use super::deadline::Deadline;
use super::hold::HeldRoute;
use super::wakeable::{Lease, LeaseReply, NotTheServer, WakeableServer};
use crate::refusal::Refusal;
use dormouse_connect::Route;

/// The number of a client's connections that may lead to strangers. A server may have several addresses.
const MOST_STRANGERS: usize = 8;

/// One server of a service.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) target: HeldRoute,
    /// `None`: dormouse does not start this server.
    pub(super) wakeable: Option<Arc<WakeableServer>>,
    /// Keeps the wakeable server in its registry.
    _keep_alive: Option<KeepAlive>,
    /// The administrative state, used where no pool keeps it.
    pub(super) admin: AdminCell,
}

/// Why an attempt at one server failed.
#[derive(Debug)]
pub(super) enum AttemptError {
    /// No server helps this client.
    Refused(Refusal),
    /// This server failed; another may work.
    ServerFailed(Refusal),
    /// The server stopped during the attempt. The client asks again.
    ServerStopped,
}

impl Server {
    /// Returns a server that dormouse does not start.
    pub(super) fn unmanaged(route: Route) -> Self {
        Self::new(Arc::new(route), None, AdminState::default())
    }

    /// Returns a server, with its wakeable server if dormouse starts it.
    pub(super) fn new(
        route: Arc<Route>,
        wakeable: Option<(Arc<WakeableServer>, KeepAlive)>,
        admin: AdminState,
    ) -> Self {
        let (wakeable, keep_alive) = wakeable.unzip();
        Self {
            target: HeldRoute::new(route),
            wakeable,
            _keep_alive: keep_alive,
            admin: AdminCell::new(admin),
        }
    }

    /// Returns whether a client that arrives now does not have to wait for a start.
    pub(super) fn is_up(&self) -> bool {
        self.wakeable.as_ref().is_none_or(|wakeable| wakeable.is_up())
    }

    /// Connects to a wakeable server: waits for a lease, then for the connection. `may_wake`: the client may wake the
    /// server.
    pub(super) async fn wake_and_connect(
        &self,
        request: &mut UpstreamRequest<'_>,
        may_wake: bool,
        deadline: Deadline,
    ) -> Result<(Stream, Lease), AttemptError> {
        let Some(wakeable) = &self.wakeable else {
            return Err(AttemptError::ServerFailed(Refusal::NotWoken(LeaseRefusal::StartFailed, None)));
        };
        let (lease, ready_conn) = await_lease(wakeable, request, may_wake, deadline).await?;
        if let Some(connected) = ready_conn {
            return Ok((connected, lease));
        }
        let route = self.target.route();
        let (mut strangers, mut pace) = (0, Backoff::READINESS);
        loop {
            let connected = match self.connect_awake(wakeable, &lease, request, deadline).await {
                // As a connection that is reset a moment later: something accepts for a server that does not listen yet.
                Err(AttemptError::ServerFailed(refusal)) if refusal.is_reset() && !wakeable.has_sent() => {
                    delay_next_connection(wakeable, &lease, deadline, pace.next_delay()).await?;
                    continue;
                }
                connected => connected?,
            };
            match wakeable.check_connection(connected, &route.take_refused()).await {
                Ok(connected) => return Ok((connected, lease)),
                // A server may have several addresses, and another program may listen at some of them.
                Err(NotTheServer::Stranger(Some(peer)))
                    if strangers < MOST_STRANGERS && route.avoid(&peer).await =>
                {
                    strangers += 1;
                }
                Err(NotTheServer::Stranger(_)) => {
                    let stranger = Refusal::NotWoken(LeaseRefusal::StartFailed, wakeable.reason());
                    return Err(AttemptError::ServerFailed(stranger));
                }
                Err(NotTheServer::Inconclusive) => {
                    delay_next_connection(wakeable, &lease, deadline, pace.next_delay()).await?;
                }
            }
        }
    }

    /// Connects to a server that is awake.
    async fn connect_awake(
        &self,
        wakeable: &WakeableServer,
        lease: &Lease,
        request: &mut UpstreamRequest<'_>,
        deadline: Deadline,
    ) -> Result<Stream, AttemptError> {
        let UpstreamRequest { client, client_has_data, permit, .. } = request;
        let connected = self.target.connect(client, *client_has_data, deadline).await;
        let error = match connected.map_err(AttemptError::Refused)? {
            Ok(connected) => return Ok(connected),
            Err(error) if !error.is_transient() => {
                return Err(AttemptError::ServerFailed(Refusal::Unreachable(error)));
            }
            Err(error) => error,
        };
        wakeable.forget_judged_peers();
        // The server was awake a moment ago. Either it takes connections again, or the lease is lost soon.
        tokio::select! {
            held = self.target.hold(client, *client_has_data, permit, error, deadline) => {
                held.map_err(AttemptError::Refused)
            }
            () = lease.lost() => Err(AttemptError::ServerStopped),
        }
    }
}

/// Waits before the next connection to a server that is awake, because the last one said nothing about the server. The
/// client's bytes may have been taken to be said again, so an end of its stream is no reason to give it up.
async fn delay_next_connection(
    wakeable: &WakeableServer,
    lease: &Lease,
    deadline: Deadline,
    delay: Duration,
) -> Result<(), AttemptError> {
    tokio::select! {
        () = sleep(delay) => Ok(()),
        () = lease.lost() => Err(AttemptError::ServerStopped),
        () = deadline.expired() => {
            let late = Refusal::NotWoken(LeaseRefusal::HoldTimeout, wakeable.reason());
            Err(AttemptError::ServerFailed(late))
        }
    }
}

/// Waits for a lease until the client's deadline. The first lease after a start comes with the connection that showed
/// that the server is ready.
async fn await_lease(
    wakeable: &Arc<WakeableServer>,
    request: &mut UpstreamRequest<'_>,
    may_wake: bool,
    deadline: Deadline,
) -> Result<(Lease, Option<Stream>), AttemptError> {
    let asleep = |refusal| Refusal::NotWoken(refusal, wakeable.reason());
    let mut waiter = match wakeable.request_lease(may_wake) {
        LeaseReply::Granted(lease) => return Ok((lease, None)),
        LeaseReply::Held(waiter) => {
            if waiter.has_woken() {
                waiter.record_client(request.client);
            }
            waiter
        }
        LeaseReply::Refused(refusal @ (LeaseRefusal::QueueFull | LeaseRefusal::WakeNotAllowed)) => {
            return Err(AttemptError::Refused(asleep(refusal)));
        }
        LeaseReply::Refused(refusal) => return Err(AttemptError::ServerFailed(asleep(refusal))),
    };
    tokio::select! {
        biased;
        granted = waiter.granted() => granted.map_err(|refusal| match refusal {
            LeaseRefusal::StartFailed | LeaseRefusal::Backoff => AttemptError::ServerFailed(asleep(refusal)),
            _ => AttemptError::Refused(asleep(refusal)),
        }),
        () = request.client.wait_for_departure() => Err(AttemptError::Refused(Refusal::ClientLeft)),
        () = deadline.expired() => Err(AttemptError::Refused(asleep(LeaseRefusal::HoldTimeout))),
    }
}
