//! One session, from an accepted socket to its record.

use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use dormouse_relay::{Kind, Limits, Pipes, Relay, Report, Stream, reset_on_close};
use rustix::io::ioctl_fionread;
use tokio::task::JoinHandle;

use crate::admission::Permit;
use crate::announce::{self, AcceptProxy, SendProxy};
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
    pub limits: Arc<Limits>,
    /// The pipes of bulk flows.
    pub pipes: Arc<Pipes>,
    /// Whose headers say who the client is.
    pub accept_proxy: Option<AcceptProxy>,
    /// The header that the server gets first.
    pub proxy_protocol: Option<SendProxy>,
    /// A session that moved no byte for so long does not keep the service awake.
    pub quiet: Option<Duration>,
}

impl Shared {
    /// Whether somebody wants to know who a client is.
    pub(crate) fn asks_who(&self) -> bool {
        self.ledger.log.wants(Level::Debug)
            || self.proxy_protocol.is_some()
            || self.accept_proxy.is_some()
            || self.service.asks_who()
    }
}

/// A client's socket, connected and non-blocking.
#[derive(Debug)]
pub struct Client {
    /// The socket.
    pub socket: OwnedFd,
    /// What it can do.
    pub kind: Kind,
}

/// Starts a client's session. `peer`: who it is, where that is known better than the kernel knows it. `permit` is its
/// place among the sessions.
pub fn start(shared: Arc<Shared>, client: Client, peer: Option<Box<Peer>>, permit: Permit) -> JoinHandle<()> {
    // Two kinds of futures: those who are asked for no header would carry the wait for it.
    if shared.accept_proxy.is_some() {
        tokio::spawn(serve_announced(shared, client, peer, permit))
    } else {
        tokio::spawn(serve(shared, client, peer, permit))
    }
}

/// Serves one client that says nothing of who it is, to its end.
pub async fn serve(shared: Arc<Shared>, client: Client, peer: Option<Box<Peer>>, permit: Permit) {
    let began = Instant::now();
    shared.ledger.begin();
    let peer = who(&shared, &client, peer);
    let done = relay(&shared, client, &permit, peer.as_deref(), began).await;
    end(&shared, peer, began, done);
    drop(permit);
}

/// Serves one client that may have to begin with a header.
async fn serve_announced(shared: Arc<Shared>, client: Client, peer: Option<Box<Peer>>, permit: Permit) {
    let began = Instant::now();
    shared.ledger.begin();
    let peer = peer.unwrap_or_else(|| Box::new(Peer::of(&client.socket)));
    let heard = match &shared.accept_proxy {
        Some(accept) => accept.hear(&client, peer).await,
        None => Ok(peer),
    };
    let (peer, done) = match heard {
        Ok(peer) => {
            let peer = who(&shared, &client, Some(peer));
            let done = relay(&shared, client, &permit, peer.as_deref(), began).await;
            (peer, done)
        }
        Err((refusal, peer)) => (Some(peer), (Outcome::Unserved(refusal), Instant::now())),
    };
    end(&shared, peer, began, done);
    drop(permit);
}

/// Who a client is: asked for while it is surely there, and only if somebody wants to know.
fn who(shared: &Shared, client: &Client, peer: Option<Box<Peer>>) -> Option<Box<Peer>> {
    let peer = peer.or_else(|| shared.asks_who().then(|| Box::new(Peer::of(&client.socket))))?;
    Some(announce::name(peer, shared.proxy_protocol))
}

fn end(shared: &Shared, peer: Option<Box<Peer>>, began: Instant, (outcome, held): (Outcome, Instant)) {
    let served = !matches!(outcome, Outcome::Unserved(_));
    if let Outcome::Unserved(refusal) = &outcome {
        tell(shared, refusal);
    }
    let record = || Record {
        client: peer.map_or_else(Peer::unknown, |peer| *peer),
        held: held.duration_since(began),
        lasted: began.elapsed(),
        outcome,
    };
    shared.ledger.end(&shared.label, record, served);
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
        (Some(send), Some(peer)) => announce::header(send, &client, peer, &shared.ledger.log),
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
    let session = Attentive::new(shared, client, leased, began);
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
    fn new(shared: &Shared, client: Stream, leased: Leased, began: Instant) -> Self {
        let Leased { server, claim, first, sent } = leased;
        let (limits, pipes) = (Arc::clone(&shared.limits), Arc::clone(&shared.pipes));
        let relay = Relay::new(client, server, first, limits, pipes);
        Self { relay: relay.after(sent).since(began.into()), claim }
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

fn tell(Shared { label, ledger, .. }: &Shared, refusal: &Refusal) {
    if refusal.is_fault() {
        let kind = match refusal {
            Refusal::Header(_) => Recurring::Header,
            refusal if refusal.is_ours() => Recurring::Internal,
            _ => Recurring::Unserved,
        };
        ledger.log.recurring(kind, Level::Err, format_args!("{label}{refusal}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a session costs while it is idle, besides what the runtime keeps for its two sockets.
    #[test]
    fn a_session_stays_small() {
        fn size<F>(_: impl FnOnce(Arc<Shared>, Client, Option<Box<Peer>>, Permit) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = size(serve);
        assert!(bytes <= 976, "{bytes} bytes");
    }
}
