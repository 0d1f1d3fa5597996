//! One session, from an accepted socket to its record.

use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use dormouse_core::proxy_protocol::{Addresses, Version, encode};
use dormouse_relay::{Kind, Limits, Pipes, Relay, Report, Stream, reset_on_close};
use rustix::io::ioctl_fionread;

use crate::admission::Permit;
use crate::connect::Peer;
use crate::ledger::log::{Level, Recurring};
use crate::ledger::{Ledger, Outcome, Record};
use crate::life::vigil;
use crate::service::{Claim, Leased, Refusal, Service, Visitor};

/// What sessions of one service share.
#[derive(Debug)]
pub struct Shared {
    /// What their log lines begin with.
    pub label: String,
    /// What is behind.
    pub service: Service,
    /// What is told of them.
    pub ledger: Arc<Ledger>,
    /// The session limits.
    pub limits: Limits,
    /// The pipes of bulk flows.
    pub pipes: Arc<Pipes>,
    /// The header that the server gets first.
    pub proxy_protocol: Option<Version>,
    /// A session that moved no byte for so long does not keep the service awake.
    pub quiet: Option<Duration>,
}

/// A client's socket, connected and non-blocking.
#[derive(Debug)]
pub struct Client {
    /// The socket.
    pub socket: OwnedFd,
    /// What it can do.
    pub kind: Kind,
}

/// Serves one client to its end. `permit` is its place among the sessions.
pub async fn serve(shared: Arc<Shared>, client: Client, permit: Permit) {
    let began = Instant::now();
    shared.ledger.begin();
    // Asked for while the client is surely there, and only if somebody wants to know.
    let wanted =
        shared.ledger.log.wants(Level::Debug) || shared.proxy_protocol.is_some() || shared.service.asks_who();
    let peer = wanted.then(|| Box::new(Peer::of(&client.socket)));
    let (outcome, held) = relay(&shared, client, &permit, peer.as_deref(), began).await;
    let served = !matches!(outcome, Outcome::Unserved(_));
    if let Outcome::Unserved(refusal) = &outcome {
        tell(&shared, refusal);
    }
    let record = || Record {
        client: peer.map_or_else(Peer::unknown, |peer| *peer),
        held: held.duration_since(began),
        lasted: began.elapsed(),
        outcome,
    };
    shared.ledger.end(&shared.label, record, served);
    drop(permit);
}

async fn relay(
    shared: &Shared,
    client: Client,
    permit: &Permit,
    peer: Option<&Peer>,
    began: Instant,
) -> (Outcome, Instant) {
    let says_first = ioctl_fionread(&client.socket).is_ok_and(|bytes| bytes > 0);
    let mut client = match Stream::new(client.socket, client.kind, says_first) {
        Ok(client) => client,
        Err(error) => return (Outcome::Unserved(Refusal::Unwatchable(error)), began),
    };
    let first = match (shared.proxy_protocol, peer) {
        (Some(version), Some(peer)) => header(shared, version, peer),
        _ => Vec::new(),
    };
    let address = peer.filter(|_| shared.service.asks_who()).and_then(Peer::ip);
    let visitor = Visitor::new(&mut client, says_first, permit).from(address);
    let leased = match shared.service.lease(visitor, first).await {
        Ok(leased) => leased,
        Err(refusal) => {
            if let (true, Some(socket)) = (refusal.is_reset(), client.socket()) {
                reset_on_close(socket);
            }
            return (Outcome::Unserved(refusal), Instant::now());
        }
    };
    let held = if shared.ledger.log.wants(Level::Debug) { Instant::now() } else { began };
    let session = Attentive::new(shared, client, leased);
    let report = match shared.quiet {
        Some(quiet) => Box::pin(relay_quietly(session, quiet)).await,
        None => session.await,
    };
    (Outcome::Relayed(report), held)
}

/// A relay that keeps the event loop awake while messages come close together, and the server from sleeping.
struct Attentive {
    relay: Relay,
    claim: Option<Claim>,
}

impl Attentive {
    fn new(shared: &Shared, client: Stream, leased: Leased) -> Self {
        let Leased { server, claim, first, sent } = leased;
        let relay = Relay::new(client, server, first, shared.limits, Arc::clone(&shared.pipes));
        Self { relay: relay.after(sent), claim }
    }
}

impl Future for Attentive {
    type Output = Report;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Report> {
        vigil::event();
        if let Some(Poll::Ready(why)) = self.claim.as_mut().map(|claim| claim.poll_cut(cx)) {
            return Poll::Ready(self.relay.cut(why));
        }
        Pin::new(&mut self.relay).poll(cx)
    }
}

/// Relays, and lets a session that moved no byte for so long not count as use of the service.
async fn relay_quietly(mut session: Attentive, quiet: Duration) -> Report {
    let mut moved = session.relay.moved();
    let mut silence = Box::pin(tokio::time::sleep(quiet));
    poll_fn(|cx| {
        let done = Pin::new(&mut session).poll(cx);
        let Attentive { relay, claim: Some(claim) } = &mut session else { return done };
        if relay.moved() != moved {
            moved = relay.moved();
            claim.busy();
            silence.as_mut().reset(tokio::time::Instant::now() + quiet);
        }
        if silence.as_mut().poll(cx).is_ready() {
            claim.quiet();
        }
        done
    })
    .await
}

fn header(shared: &Shared, version: Version, peer: &Peer) -> Vec<u8> {
    let addresses = peer.proxy_addresses();
    let unknown =
        matches!((version, &addresses), (_, Addresses::Unknown) | (Version::V1, Addresses::Unix { .. }));
    if unknown {
        shared.ledger.log.recurring(
            Recurring::ClientUnknown,
            Level::Warning,
            format_args!("The PROXY header {version} has no form for {peer}, sending it as unknown."),
        );
    }
    let mut header = Vec::new();
    encode(version, &addresses, &mut header);
    header
}

fn tell(Shared { label, ledger, .. }: &Shared, refusal: &Refusal) {
    if refusal.is_fault() {
        let kind = if refusal.is_ours() { Recurring::Internal } else { Recurring::Unserved };
        ledger.log.recurring(kind, Level::Err, format_args!("{label}{refusal}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a session costs while it is idle, besides what the runtime keeps for its two sockets.
    #[test]
    fn a_session_stays_small() {
        fn size<F>(_: impl FnOnce(Arc<Shared>, Client, Permit) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = size(serve);
        assert!(bytes <= 976, "{bytes} bytes");
    }
}
