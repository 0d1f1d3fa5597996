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
use crate::stats::sessions::SessionEntry;
use crate::stats::{Outcome, Record, ServerStats, Stats, TerminatedBy};
use crate::upstream::{ServerGuard, Service, UpstreamConn, UpstreamRequest};

/// What sessions of one service share.
#[derive(Debug)]
pub struct ServiceContext {
    /// What their log lines begin with.
    pub label: String,
    /// What is behind.
    pub service: Service,
    /// What is told of them.
    pub stats: Arc<Stats>,
    /// The servers' lines in it.
    pub servers: Vec<Arc<ServerStats>>,
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

impl ServiceContext {
    /// Whether somebody wants to know who a client is.
    pub fn needs_client(&self) -> bool {
        self.stats.needs_client()
            || self.proxy_protocol.is_some()
            || self.accept_proxy.is_some()
            || self.service.needs_client()
    }
}

/// Starts a client's session. `peer`: who it is, where that is known better than the kernel knows it. `permit` is its
/// place among the sessions.
pub fn start(
    context: Arc<ServiceContext>,
    client: Client,
    peer: Option<Box<Peer>>,
    permit: Permit,
) -> JoinHandle<()> {
    // Two kinds of futures: those who are asked for no header would carry the wait for it.
    if context.accept_proxy.is_some() {
        tokio::spawn(serve_with_header(context, client, peer, permit))
    } else {
        tokio::spawn(serve(context, client, peer, permit))
    }
}

/// Serves one client that says nothing of who it is, to its end.
pub fn serve(
    context: Arc<ServiceContext>,
    client: Client,
    peer: Option<Box<Peer>>,
    permit: Permit,
) -> impl Future<Output = ()> {
    let began = Instant::now();
    context.stats.begin(began);
    let info = SessionInfo::of(&context, &client, peer, began);
    run(context, client, info, permit, began)
}

/// Serves one client that may have to begin with a header.
async fn serve_with_header(
    context: Arc<ServiceContext>,
    client: Client,
    peer: Option<Box<Peer>>,
    permit: Permit,
) {
    let began = Instant::now();
    context.stats.begin(began);
    let peer = peer.unwrap_or_else(|| Box::new(Peer::of(&client.socket)));
    let mut info = Box::new(SessionInfo::new(&context, peer, began));
    let read = match &context.accept_proxy {
        Some(accept) => accept.read_header(&client, &mut info.peer).await,
        None => Ok(()),
    };
    match read {
        Ok(()) => {
            info.publish();
            run(context, client, Some(info), permit, began).await;
        }
        Err(error) => end(&context, Some(&info), began, &Outcome::Unserved(error.into())),
    }
}

/// Serves one client of whom is known what is to be known, to its end.
#[expect(clippy::manual_async_fn, reason = "an async fn would keep its arguments twice")]
fn run(
    context: Arc<ServiceContext>,
    client: Client,
    info: Option<Box<SessionInfo>>,
    permit: Permit,
    began: Instant,
) -> impl Future<Output = ()> {
    async move {
        let outcome = if info.as_deref().is_some_and(SessionInfo::is_published) {
            // Boxed: those of whom nobody may ask would carry it.
            Box::pin(run_killable(&context, client, &permit, info.as_deref(), began)).await
        } else {
            relay(&context, client, &permit, info.as_deref(), began).await
        };
        end(&context, info.as_deref(), began, &outcome);
        // It tells of itself while it has its place: who waits until nobody is left has read of all.
        drop(info);
        drop(permit);
    }
}

/// Tells the stats of a session that has ended.
fn end(context: &ServiceContext, info: Option<&SessionInfo>, began: Instant, outcome: &Outcome) {
    if let Outcome::Unserved(refusal) = outcome {
        log_refusal(context, refusal);
    }
    let (label, stats) = (&context.label, &context.stats);
    if let Some(info) = info {
        info.ended.store(true, Ordering::Relaxed);
        stats.end(label, info.entry.as_deref(), began, &info.record(outcome));
    } else {
        let client = &Peer::unknown();
        let (held, lasted) = (Duration::ZERO, Duration::ZERO);
        let record = Record { client, server: None, asleep: false, held, lasted, outcome };
        stats.end(label, None, began, &record);
    }
}

/// A session's server: its line in the stats, and since when the session has it.
#[derive(Debug)]
struct ReachedServer {
    at: Instant,
    server: Option<Arc<ServerStats>>,
}

/// What somebody wants to know of a session.
#[derive(Debug)]
struct SessionInfo {
    context: Arc<ServiceContext>,
    began: Instant,
    peer: Box<Peer>,
    /// What is behind slept when it came.
    asleep: bool,
    reached: OnceLock<ReachedServer>,
    entry: Option<Arc<SessionEntry>>,
    /// Bytes to the server and to the client, once they do not become more.
    moved: OnceLock<(u64, u64)>,
    /// It has its record.
    ended: AtomicBool,
}

impl Drop for SessionInfo {
    /// A session may be ended from outside before it has a record.
    fn drop(&mut self) {
        if *self.ended.get_mut() {
            return;
        }
        let ServiceContext { stats, label, .. } = &*self.context;
        let (upstream_bytes, downstream_bytes) = self.moved.get().copied().unwrap_or_default();
        let outcome = Outcome::Killed {
            upstream_bytes,
            downstream_bytes,
            served: self.reached.get().is_some(),
            by: if stats.is_shutting_down() { TerminatedBy::Process } else { TerminatedBy::Service },
        };
        stats.end_aborted(label, self.entry.as_deref(), self.began, &self.record(&outcome));
    }
}

impl SessionInfo {
    /// Asked for while the client is surely there, and only if somebody wants to know.
    fn of(
        context: &Arc<ServiceContext>,
        client: &Client,
        peer: Option<Box<Peer>>,
        began: Instant,
    ) -> Option<Box<Self>> {
        let peer = peer.or_else(|| context.needs_client().then(|| Box::new(Peer::of(&client.socket))))?;
        let mut info = Box::new(Self::new(context, peer, began));
        info.publish();
        Some(info)
    }

    fn new(context: &Arc<ServiceContext>, peer: Box<Peer>, began: Instant) -> Self {
        Self {
            context: Arc::clone(context),
            began,
            peer,
            asleep: context.service.is_asleep(),
            reached: OnceLock::new(),
            entry: None,
            moved: OnceLock::new(),
            ended: AtomicBool::new(false),
        }
    }

    /// It is surely this client, so whoever asks may know of it.
    fn publish(&mut self) {
        proxy_protocol::assign_unique_id(&mut self.peer, self.context.proxy_protocol);
        self.entry = self.context.stats.track(&self.peer, self.began);
    }

    /// Whether it is one of those that are known one by one.
    fn is_published(&self) -> bool {
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
async fn run_killable(
    context: &ServiceContext,
    client: Client,
    permit: &Permit,
    info: Option<&SessionInfo>,
    began: Instant,
) -> Outcome {
    let relayed = relay(context, client, permit, info, began);
    let Some(entry) = info.and_then(|info| info.entry.as_deref()) else { return relayed.await };
    tokio::select! {
        outcome = relayed => outcome,
        () = entry.killed() => {
            let (upstream_bytes, downstream_bytes) = entry.bytes();
            let (served, by) = (entry.server().is_some(), TerminatedBy::Administrator);
            Outcome::Killed { upstream_bytes, downstream_bytes, served, by }
        }
    }
}

async fn relay(
    context: &ServiceContext,
    client: Client,
    permit: &Permit,
    info: Option<&SessionInfo>,
    began: Instant,
) -> Outcome {
    let client_has_data = ioctl_fionread(&client.socket).is_ok_and(|bytes| bytes > 0);
    let mut client = match Stream::new(client.socket, client.kind, client_has_data) {
        Ok(client) => client,
        Err(error) => return Outcome::Unserved(Refusal::Unwatchable(error)),
    };
    let first = match (context.proxy_protocol, info) {
        (Some(send), Some(info)) => {
            proxy_protocol::encode_header(send, &client, &info.peer, &context.stats.log)
        }
        _ => Vec::new(),
    };
    let address = info.filter(|_| context.service.needs_client()).and_then(|info| info.peer.ip());
    let request = UpstreamRequest::new(&mut client, client_has_data, permit, &context.pipes).from(address);
    // Boxed: it is over soon, and the session would carry its place to the end.
    let upstream = match Box::pin(context.service.lease(request, first)).await {
        Ok(upstream) => upstream,
        Err(refusal) => {
            if let (true, Some(socket)) = (refusal.is_reset(), client.socket()) {
                reset_on_close(socket);
            }
            return Outcome::Unserved(refusal);
        }
    };
    let entry = info.and_then(|info| info.entry.as_deref());
    let (session, server) = TrackedRelay::new(context, client, upstream, began, info);
    let _serving = context.stats.count_served();
    if let Some(info) = info {
        let server = context.servers.get(server).cloned();
        let ReachedServer { at, server } =
            info.reached.get_or_init(|| ReachedServer { at: Instant::now(), server });
        context.stats.server_reached(server.as_ref(), began, *at, entry);
    }
    let report = if let Some(entry) = entry {
        Box::pin(relay_counted(session, context, entry, context.quiet)).await
    } else if let Some(quiet) = context.quiet {
        Box::pin(relay_ignoring_inactivity(session, quiet)).await
    } else {
        session.await
    };
    Outcome::Relayed(report)
}

/// A relay that keeps the event loop awake while messages come close together, and the server from sleeping.
struct TrackedRelay<'a> {
    relay: Relay,
    guard: Option<ServerGuard>,
    info: Option<&'a SessionInfo>,
}

impl<'a> TrackedRelay<'a> {
    fn new(
        context: &ServiceContext,
        client: Stream,
        upstream: UpstreamConn,
        began: Instant,
        info: Option<&'a SessionInfo>,
    ) -> (Self, usize) {
        let index = upstream.guard.as_ref().map_or(0, ServerGuard::server);
        let UpstreamConn { server, guard, first, sent } = upstream;
        let (limits, pipes) = (Arc::clone(&context.limits), Arc::clone(&context.pipes));
        let relay = Relay::new(client, server, first, limits, pipes);
        (Self { relay: relay.with_bytes_sent(sent).started_at(began.into()), guard, info }, index)
    }
}

impl Drop for TrackedRelay<'_> {
    /// Whoever ends it from outside does not ask what it has moved.
    fn drop(&mut self) {
        if let Some(info) = self.info {
            let Report { upstream_bytes, downstream_bytes, .. } = self.relay.report(End::Finished);
            let _ = info.moved.set((upstream_bytes, downstream_bytes));
        }
    }
}

impl Future for TrackedRelay<'_> {
    type Output = Report;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Report> {
        busy_poll::record_event();
        if let Some(Poll::Ready(why)) = self.guard.as_mut().map(|guard| guard.poll_cut(cx)) {
            return Poll::Ready(self.relay.abort(why));
        }
        Pin::new(&mut self.relay).poll(cx)
    }
}

/// Relays, and lets a session that moved no byte for so long not count as use of the service.
async fn relay_ignoring_inactivity(session: TrackedRelay<'_>, quiet: Duration) -> Report {
    relay_with_inactivity_timer(session, quiet, |_| ()).await
}

async fn relay_with_inactivity_timer(
    mut session: TrackedRelay<'_>,
    quiet: Duration,
    on_progress: impl Fn(&Relay),
) -> Report {
    let mut moved = session.relay.bytes_moved();
    let mut silence = Box::pin(tokio::time::sleep(quiet));
    poll_fn(|cx| {
        let done = Pin::new(&mut session).poll(cx);
        on_progress(&session.relay);
        let TrackedRelay { relay, guard: Some(guard), .. } = &mut session else { return done };
        if relay.bytes_moved() != moved {
            moved = relay.bytes_moved();
            guard.busy();
            silence.as_mut().reset(tokio::time::Instant::now() + quiet);
        }
        if silence.as_mut().poll(cx).is_ready() {
            guard.quiet();
        }
        done
    })
    .await
}

/// Relays, and tells at each turn what was moved.
async fn relay_counted(
    session: TrackedRelay<'_>,
    context: &ServiceContext,
    entry: &SessionEntry,
    quiet: Option<Duration>,
) -> Report {
    let moved = |relay: &Relay| {
        let Report { upstream_bytes, downstream_bytes, .. } = relay.report(End::Finished);
        context.stats.moved(entry.server().map(AsRef::as_ref), entry.moved(upstream_bytes, downstream_bytes));
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
        Some(quiet) => relay_with_inactivity_timer(session, quiet, moved).await,
    }
}

fn log_refusal(ServiceContext { label, stats, .. }: &ServiceContext, refusal: &Refusal) {
    if refusal.is_reported() {
        let kind = match refusal {
            Refusal::Header(_) => Recurring::Header,
            refusal if refusal.is_local_limit() => Recurring::Internal,
            _ => Recurring::Unserved,
        };
        stats.log.recurring(kind, Level::Err, format_args!("{label}{refusal}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a session costs while it is idle, besides what the runtime keeps for its two sockets.
    #[test]
    fn a_session_stays_small() {
        fn size<F>(_: impl FnOnce(Arc<ServiceContext>, Client, Option<Box<Peer>>, Permit) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = size(serve);
        assert!(bytes <= 504, "{bytes} bytes");
    }
}
