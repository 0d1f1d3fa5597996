//! One session, from an accepted socket to its record.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use dormouse_config::proxy_protocol::SendProxy;
use dormouse_log::{Level, Recurring};
use dormouse_relay::{End, Limits, Pipes, Relay, Report, Stream, reset_on_close};
use rustix::io::ioctl_fionread;
use tokio::task::JoinHandle;

use crate::admission::Permit;
use crate::busy_poll;
use crate::client::{Client, Peer};
use crate::proxy_protocol::{self, AcceptProxy};
use crate::refusal::Refusal;
use crate::stats::sessions::Entry;
use crate::stats::{Ender, Ledger, Outcome, Record, ServerEntry};
use crate::upstream::{ServerGuard, Service, UpstreamConn, UpstreamRequest};

/// What sessions of one service share.
#[derive(Debug)]
pub struct Shared {
    /// What their log lines begin with.
    pub label: String,
    /// What is behind.
    pub service: Service,
    /// What is told of them.
    pub ledger: Arc<Ledger>,
    /// The servers' lines in it.
    pub servers: Vec<Arc<ServerEntry>>,
    /// The session limits.
    pub limits: Arc<Limits>,
    /// The pipes of bulk flows; the process's end.
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
    pub fn asks_who(&self) -> bool {
        self.ledger.wants_records()
            || self.proxy_protocol.is_some()
            || self.accept_proxy.is_some()
            || self.service.needs_client()
    }
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
pub fn serve(
    shared: Arc<Shared>,
    client: Client,
    peer: Option<Box<Peer>>,
    permit: Permit,
) -> impl Future<Output = ()> {
    let began = Instant::now();
    shared.ledger.begin(began);
    let about = About::of(&shared, &client, peer, began);
    attend(shared, client, about, permit, began)
}

/// Serves one client that may have to begin with a header.
async fn serve_announced(shared: Arc<Shared>, client: Client, peer: Option<Box<Peer>>, permit: Permit) {
    let began = Instant::now();
    shared.ledger.begin(began);
    let peer = peer.unwrap_or_else(|| Box::new(Peer::of(&client.socket)));
    let mut about = Box::new(About::new(&shared, peer, began));
    let heard = match &shared.accept_proxy {
        Some(accept) => accept.hear(&client, &mut about.peer).await,
        None => Ok(()),
    };
    match heard {
        Ok(()) => {
            about.make_known();
            attend(shared, client, Some(about), permit, began).await;
        }
        Err(error) => end(&shared, Some(&about), began, &Outcome::Unserved(error.into())),
    }
}

/// Serves one client of whom is known what is to be known, to its end.
#[expect(clippy::manual_async_fn, reason = "an async fn would keep its arguments twice")]
fn attend(
    shared: Arc<Shared>,
    client: Client,
    about: Option<Box<About>>,
    permit: Permit,
    began: Instant,
) -> impl Future<Output = ()> {
    async move {
        let outcome = if about.as_deref().is_some_and(About::is_known) {
            // Boxed: those of whom nobody may ask would carry it.
            Box::pin(watched(&shared, client, &permit, about.as_deref(), began)).await
        } else {
            relay(&shared, client, &permit, about.as_deref(), began).await
        };
        end(&shared, about.as_deref(), began, &outcome);
        // It tells of itself while it has its place: who waits until nobody is left has heard of all.
        drop(about);
        drop(permit);
    }
}

/// Tells the ledger of a session that has ended.
fn end(shared: &Shared, about: Option<&About>, began: Instant, outcome: &Outcome) {
    if let Outcome::Unserved(refusal) = outcome {
        tell(shared, refusal);
    }
    let (label, ledger) = (&shared.label, &shared.ledger);
    if let Some(about) = about {
        about.ended.store(true, Ordering::Relaxed);
        ledger.end(label, about.entry.as_deref(), began, &about.record(outcome));
    } else {
        let client = &Peer::unknown();
        let (held, lasted) = (Duration::ZERO, Duration::ZERO);
        let record = Record { client, server: None, asleep: false, held, lasted, outcome };
        ledger.end(label, None, began, &record);
    }
}

/// A session's server: its line in the ledger, and since when the session has it.
#[derive(Debug)]
struct Reached {
    at: Instant,
    server: Option<Arc<ServerEntry>>,
}

/// What somebody wants to know of a session.
#[derive(Debug)]
struct About {
    shared: Arc<Shared>,
    began: Instant,
    peer: Box<Peer>,
    /// What is behind slept when it came.
    asleep: bool,
    reached: OnceLock<Reached>,
    entry: Option<Arc<Entry>>,
    /// Bytes to the server and to the client, once they do not become more.
    moved: OnceLock<(u64, u64)>,
    /// It has its record.
    ended: AtomicBool,
}

impl Drop for About {
    /// A session may be ended from outside before it has a record.
    fn drop(&mut self) {
        if *self.ended.get_mut() {
            return;
        }
        let Shared { ledger, label, .. } = &*self.shared;
        let (upstream_bytes, downstream_bytes) = self.moved.get().copied().unwrap_or_default();
        let outcome = Outcome::Killed {
            upstream_bytes,
            downstream_bytes,
            served: self.reached.get().is_some(),
            by: if ledger.is_ending() { Ender::Process } else { Ender::Service },
        };
        ledger.end_cut(label, self.entry.as_deref(), self.began, &self.record(&outcome));
    }
}

impl About {
    /// Asked for while the client is surely there, and only if somebody wants to know.
    fn of(
        shared: &Arc<Shared>,
        client: &Client,
        peer: Option<Box<Peer>>,
        began: Instant,
    ) -> Option<Box<Self>> {
        let peer = peer.or_else(|| shared.asks_who().then(|| Box::new(Peer::of(&client.socket))))?;
        let mut about = Box::new(Self::new(shared, peer, began));
        about.make_known();
        Some(about)
    }

    fn new(shared: &Arc<Shared>, peer: Box<Peer>, began: Instant) -> Self {
        Self {
            shared: Arc::clone(shared),
            began,
            peer,
            asleep: shared.service.is_asleep(),
            reached: OnceLock::new(),
            entry: None,
            moved: OnceLock::new(),
            ended: AtomicBool::new(false),
        }
    }

    /// It is surely this client, so whoever asks may know of it.
    fn make_known(&mut self) {
        proxy_protocol::name(&mut self.peer, self.shared.proxy_protocol);
        self.entry = self.shared.ledger.enter(&self.peer, self.began);
    }

    /// Whether it is one of those that are known one by one.
    fn is_known(&self) -> bool {
        self.entry.is_some()
    }

    /// The record of a session that ends now.
    fn record<'a>(&'a self, outcome: &'a Outcome) -> Record<'a> {
        let reached = self.reached.get();
        Record {
            client: &self.peer,
            server: reached.and_then(|reached| reached.server.as_deref()),
            asleep: self.asleep,
            held: reached.map_or(Duration::ZERO, |reached| reached.at.duration_since(self.began)),
            lasted: self.began.elapsed(),
            outcome,
        }
    }
}

/// Relays until the session ends, or somebody ends it.
async fn watched(
    shared: &Shared,
    client: Client,
    permit: &Permit,
    about: Option<&About>,
    began: Instant,
) -> Outcome {
    let relayed = relay(shared, client, permit, about, began);
    let Some(entry) = about.and_then(|about| about.entry.as_deref()) else { return relayed.await };
    tokio::select! {
        outcome = relayed => outcome,
        () = entry.killed() => {
            let (upstream_bytes, downstream_bytes) = entry.bytes();
            let (served, by) = (entry.server().is_some(), Ender::Administrator);
            Outcome::Killed { upstream_bytes, downstream_bytes, served, by }
        }
    }
}

async fn relay(
    shared: &Shared,
    client: Client,
    permit: &Permit,
    about: Option<&About>,
    began: Instant,
) -> Outcome {
    let says_first = ioctl_fionread(&client.socket).is_ok_and(|bytes| bytes > 0);
    let mut client = match Stream::new(client.socket, client.kind, says_first) {
        Ok(client) => client,
        Err(error) => return Outcome::Unserved(Refusal::Unwatchable(error)),
    };
    let first = match (shared.proxy_protocol, about) {
        (Some(send), Some(about)) => proxy_protocol::header(send, &client, &about.peer, &shared.ledger.log),
        _ => Vec::new(),
    };
    let address = about.filter(|_| shared.service.needs_client()).and_then(|about| about.peer.ip());
    let request = UpstreamRequest::new(&mut client, says_first, permit, &shared.pipes).from(address);
    // Boxed: it is over soon, and the session would carry its place to the end.
    let leased = match Box::pin(shared.service.lease(request, first)).await {
        Ok(leased) => leased,
        Err(refusal) => {
            if let (true, Some(socket)) = (refusal.is_reset(), client.socket()) {
                reset_on_close(socket);
            }
            return Outcome::Unserved(refusal);
        }
    };
    let entry = about.and_then(|about| about.entry.as_deref());
    let (session, server) = Attentive::new(shared, client, leased, began, about);
    let _serving = shared.ledger.serve();
    if let Some(about) = about {
        let server = shared.servers.get(server).cloned();
        let Reached { at, server } = about.reached.get_or_init(|| Reached { at: Instant::now(), server });
        shared.ledger.served(server.as_ref(), began, *at, entry);
    }
    let report = if let Some(entry) = entry {
        Box::pin(relay_watched(session, shared, entry, shared.quiet)).await
    } else if let Some(quiet) = shared.quiet {
        Box::pin(relay_quietly(session, quiet)).await
    } else {
        session.await
    };
    Outcome::Relayed(report)
}

/// A relay that keeps the event loop awake while messages come close together, and the server from sleeping.
struct Attentive<'a> {
    relay: Relay,
    guard: Option<ServerGuard>,
    about: Option<&'a About>,
}

impl<'a> Attentive<'a> {
    fn new(
        shared: &Shared,
        client: Stream,
        leased: UpstreamConn,
        began: Instant,
        about: Option<&'a About>,
    ) -> (Self, usize) {
        let index = leased.guard.as_ref().map_or(0, ServerGuard::server);
        let UpstreamConn { server, guard, first, sent } = leased;
        let (limits, pipes) = (Arc::clone(&shared.limits), Arc::clone(&shared.pipes));
        let relay = Relay::new(client, server, first, limits, pipes);
        (Self { relay: relay.with_bytes_sent(sent).started_at(began.into()), guard, about }, index)
    }
}

impl Drop for Attentive<'_> {
    /// Whoever ends it from outside does not ask what it has moved.
    fn drop(&mut self) {
        if let Some(about) = self.about {
            let Report { upstream_bytes, downstream_bytes, .. } = self.relay.report(End::Finished);
            let _ = about.moved.set((upstream_bytes, downstream_bytes));
        }
    }
}

impl Future for Attentive<'_> {
    type Output = Report;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Report> {
        busy_poll::event();
        if let Some(Poll::Ready(why)) = self.guard.as_mut().map(|guard| guard.poll_abort(cx)) {
            return Poll::Ready(self.relay.abort(why));
        }
        Pin::new(&mut self.relay).poll(cx)
    }
}

/// Relays, and lets a session that moved no byte for so long not count as use of the service.
async fn relay_quietly(session: Attentive<'_>, quiet: Duration) -> Report {
    relay_quietly_and_tell(session, quiet, |_| ()).await
}

async fn relay_quietly_and_tell(
    mut session: Attentive<'_>,
    quiet: Duration,
    tell: impl Fn(&Relay),
) -> Report {
    let mut moved = session.relay.bytes_moved();
    let mut silence = Box::pin(tokio::time::sleep(quiet));
    poll_fn(|cx| {
        let done = Pin::new(&mut session).poll(cx);
        tell(&session.relay);
        let Attentive { relay, guard: Some(guard), .. } = &mut session else { return done };
        if relay.bytes_moved() != moved {
            moved = relay.bytes_moved();
            guard.mark_active();
            silence.as_mut().reset(tokio::time::Instant::now() + quiet);
        }
        if silence.as_mut().poll(cx).is_ready() {
            guard.mark_idle();
        }
        done
    })
    .await
}

/// Relays, and tells at each turn what was moved.
async fn relay_watched(
    session: Attentive<'_>,
    shared: &Shared,
    entry: &Entry,
    quiet: Option<Duration>,
) -> Report {
    let moved = |relay: &Relay| {
        let Report { upstream_bytes, downstream_bytes, .. } = relay.report(End::Finished);
        shared.ledger.moved(entry.server().map(AsRef::as_ref), entry.moved(upstream_bytes, downstream_bytes));
    };
    match quiet {
        None => {
            let mut session = session;
            poll_fn(|cx| {
                let done = Pin::new(&mut session).poll(cx);
                moved(&session.relay);
                done
            })
            .await
        }
        Some(quiet) => relay_quietly_and_tell(session, quiet, moved).await,
    }
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
        assert!(bytes <= 504, "{bytes} bytes");
    }
}
