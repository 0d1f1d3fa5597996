//! A client's way to a server that sleeps: ask for a lease, wait, connect, and make sure that somebody is there.

use dormouse_config::model::WakeOn;
use dormouse_core::activation::Refusal as Asleep;
use dormouse_core::backoff::Backoff;
use dormouse_relay::{Outcome, Replay, ReplayBuffer, Stream, StreamKind};
use tokio::time::sleep;

use super::hold::Patience;
use super::server_guard::ServerGuard;
use super::sleeper::{Asked, Lease, Sleeper};
use super::{Server, Service, UpstreamConn, UpstreamRequest};
use crate::refusal::Refusal;

/// A client that met the end of so many runs of a server, each before the first byte, is not tried again: what it says
/// may be why.
const FALLS: u32 = 3;

/// A try that came to nothing.
pub(super) enum Missed {
    /// Nothing helps this client.
    Refused(Refusal),
    /// This server does not help; another might.
    Next(Refusal),
    /// The server went away meanwhile: ask anew.
    Gone,
}

impl Service {
    pub(super) async fn wake_and_lease(
        &self,
        mut request: UpstreamRequest<'_>,
        first: Vec<u8>,
    ) -> Result<UpstreamConn, Refusal> {
        let patience = Patience::new(self.rules.wait);
        if self.rules.on == WakeOn::Data && !self.servers.iter().any(Server::is_up) {
            first_word(&mut request, patience).await?;
        }
        let mut said = ReplayBuffer::new(first);
        let mut backoff = Backoff::READINESS;
        let (mut falls, mut fell) = (0, None);
        loop {
            let (mut server, mut guard) = match &self.pool {
                Some(pool) => self.lease_of_pool(pool, &mut request, patience).await?,
                None => self.lease_only(&mut request, patience).await?,
            };
            let lease = guard.lease();
            if self.is_on_trial(lease, request.client, &server) {
                let mut trial = Replay::new(&mut said, request.client, &mut server, request.pipes);
                let verdict = tokio::select! {
                    verdict = trial.outcome() => verdict,
                    () = patience.over() => Outcome::NotReplayable,
                };
                trial.finish();
                match (verdict, lease) {
                    (Outcome::Answered, Some(lease)) => lease.sleeper().prove(),
                    (Outcome::Answered | Outcome::NotReplayable | Outcome::Finished, _) => {}
                    (Outcome::ClientLeft, _) => return Err(Refusal::ClientLeft),
                    (Outcome::Dropped(_), _) => {
                        let run = lease.map(|lease| (lease.sleeper().name().to_owned(), lease.run()));
                        falls += u32::from(fell != run);
                        fell = run;
                        drop((server, guard));
                        if falls >= FALLS {
                            return Err(Refusal::Dropped(patience.since.elapsed()));
                        }
                        said.rewind();
                        tokio::select! {
                            () = sleep(backoff.next_delay()) => continue,
                            () = patience.over() => return Err(Refusal::Dropped(patience.since.elapsed())),
                        }
                    }
                }
            }
            guard.settle();
            let sent = u64::try_from(said.sent()).unwrap_or(u64::MAX);
            return Ok(UpstreamConn { server, guard: Some(guard), first: said.into_unsent(), sent });
        }
    }

    /// A server that has said nothing since its start may not be there yet, although it takes connections. Where
    /// descriptors travel with the bytes, what was said cannot be said again.
    fn is_on_trial(&self, lease: Option<&Lease>, client: &Stream, server: &Stream) -> bool {
        let carries_descriptors = client.kind() == StreamKind::Unix && server.kind() == StreamKind::Unix;
        self.rules.replay && !carries_descriptors && lease.is_some_and(|lease| lease.sleeper().is_unproven())
    }

    /// Gets a connection from the one server.
    async fn lease_only(
        &self,
        request: &mut UpstreamRequest<'_>,
        patience: Patience,
    ) -> Result<(Stream, ServerGuard), Refusal> {
        let Some(server) = self.servers.first() else {
            return Err(Refusal::Asleep(Asleep::StartFailed, None));
        };
        loop {
            if !server.admin.takes_sessions() {
                return Err(Refusal::Maintenance);
            }
            match self.lease_from(server, request, patience).await {
                Ok((connected, lease)) => return Ok((connected, ServerGuard::Lease(lease))),
                Err(Missed::Refused(refusal) | Missed::Next(refusal)) => return Err(refusal),
                Err(Missed::Gone) => {}
            }
        }
    }

    /// Gets a connection from a server that sleeps.
    pub(super) async fn lease_from(
        &self,
        server: &Server,
        request: &mut UpstreamRequest<'_>,
        patience: Patience,
    ) -> Result<(Stream, Lease), Missed> {
        let Some(sleeper) = &server.sleeper else {
            return Err(Missed::Next(Refusal::Asleep(Asleep::StartFailed, None)));
        };
        let (lease, first) = self.await_lease(sleeper, request, patience).await?;
        let connected = if let Some(connected) = first {
            Ok(connected)
        } else {
            let connected = server.connect_for(request.client, request.client_has_data, patience).await;
            connected.map_err(Missed::Refused)?
        };
        let error = match connected {
            Ok(connected) => return Ok((connected, lease)),
            Err(error) if !error.is_transient() => return Err(Missed::Next(Refusal::Unreachable(error))),
            Err(error) => error,
        };
        // It was awake a moment ago. Either it comes back by itself, or it is known soon that it went away.
        tokio::select! {
            held = server.hold(request.client, request.client_has_data, request.permit, error, patience) => match held {
                Ok(connected) => Ok((connected, lease)),
                Err(refusal) => Err(Missed::Refused(refusal)),
            },
            () = lease.lost() => Err(Missed::Gone),
        }
    }

    /// Waits for a lease as long as the client has patience.
    async fn await_lease(
        &self,
        sleeper: &std::sync::Arc<Sleeper>,
        request: &mut UpstreamRequest<'_>,
        patience: Patience,
    ) -> Result<(Lease, Option<Stream>), Missed> {
        let asleep = |refusal| Refusal::Asleep(refusal, sleeper.reason());
        let mut ticket = match sleeper.ask(self.may_wake(request)) {
            Asked::Granted(lease) => return Ok((lease, None)),
            Asked::Held(ticket) => {
                if ticket.woke() {
                    ticket.tell_who(request.client);
                }
                ticket
            }
            Asked::Refused(refusal @ (Asleep::QueueFull | Asleep::WakeNotAllowed)) => {
                return Err(Missed::Refused(asleep(refusal)));
            }
            Asked::Refused(refusal) => return Err(Missed::Next(asleep(refusal))),
        };
        tokio::select! {
            biased;
            answer = ticket.answer() => answer.map_err(|refusal| match refusal {
                Asleep::StartFailed | Asleep::Backoff => Missed::Next(asleep(refusal)),
                _ => Missed::Refused(asleep(refusal)),
            }),
            () = request.client.wait_for_departure() => Err(Missed::Refused(Refusal::ClientLeft)),
            () = patience.over() => Err(Missed::Refused(asleep(Asleep::HoldTimeout))),
        }
    }

    /// Who comes to a UNIX socket is let through by its mode, unless a header says where it comes from. Whoever else
    /// has no address may not: a virtual machine, a client of a UNIX socket of another proxy that reached us over IP, and
    /// one that has gone so soon that nobody knows who it was.
    fn may_wake(&self, request: &UpstreamRequest<'_>) -> bool {
        match (&self.rules.allow, request.address) {
            (None, _) => true,
            (Some(allowed), Some(address)) => allowed.iter().any(|network| network.contains(address)),
            (Some(_), None) => request.client.kind() == StreamKind::Unix,
        }
    }
}

/// Waits until the client says something.
async fn first_word(request: &mut UpstreamRequest<'_>, patience: Patience) -> Result<(), Refusal> {
    if request.client_has_data {
        return Ok(());
    }
    tokio::select! {
        says = request.client.wait_for_data() => if says { Ok(()) } else { Err(Refusal::ClientLeft) },
        () = patience.over() => Err(Refusal::Silent(patience.since.elapsed())),
    }
}
