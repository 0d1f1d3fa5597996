//! One session, from the accepted socket to its record.

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

/// The state that the sessions of one service share.
#[derive(Debug)]
pub struct ServiceContext {
    /// The prefix of log lines.
    pub label: String,
    /// The servers, and how clients get to them.
    pub service: Service,
    /// The stats of the service.
    pub stats: Arc<Stats>,
    /// The stats of the servers.
    pub servers: Vec<Arc<ServerStats>>,
    /// The session limits.
    pub limits: Arc<Limits>,
    /// The pipes for splicing.
    pub pipes: Arc<Pipes>,
    /// The proxies whose PROXY headers are accepted.
    pub accept_proxy: Option<AcceptProxy>,
    /// The PROXY header to send to the server.
    pub proxy_protocol: Option<SendProxy>,
    /// A session without traffic for this time does not keep the service awake.
    pub quiet: Option<Duration>,
}

impl ServiceContext {
    /// Returns whether the address of a client is needed.
    pub fn needs_client(&self) -> bool {
        self.stats.needs_client()
            || self.proxy_protocol.is_some()
            || self.accept_proxy.is_some()
            || self.service.needs_client()
    }
}

/// Starts a client's session. `peer` overrides the addresses that the kernel reports.
pub fn start(
    context: Arc<ServiceContext>,
    client: Client,
    peer: Option<Box<Peer>>,
    permit: Permit,
) -> JoinHandle<()> {
    // Two future types, so that sessions without accept_proxy do not carry the header state.
    if context.accept_proxy.is_some() {
        tokio::spawn(serve_with_header(context, client, peer, permit))
    } else {
        tokio::spawn(serve(context, client, peer, permit))
    }
}

/// Serves one client without reading a PROXY header.
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

/// Serves one client that may have to send a PROXY header.
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

/// Runs a session whose client is known.
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
            // Boxed, so that sessions that cannot be killed do not carry it.
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

/// Records a session that has ended.
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

/// The server of a session, and when the session got it.
#[derive(Debug)]
struct ReachedServer {
    at: Instant,
    server: Option<Arc<ServerStats>>,
}

/// What the stats and the access log report about a session.
#[derive(Debug)]
struct SessionInfo {
    context: Arc<ServiceContext>,
    began: Instant,
    peer: Box<Peer>,
    /// The workload was asleep when the client arrived.
    asleep: bool,
    reached: OnceLock<ReachedServer>,
    entry: Option<Arc<SessionEntry>>,
    /// Bytes to the server and to the client, set when the relay ends.
    moved: OnceLock<(u64, u64)>,
    /// The record is written.
    ended: AtomicBool,
}

impl Drop for SessionInfo {
    /// Writes the record of a session whose task was aborted.
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
    /// Collects what is known about the client, if it is needed. Must be called while the client is connected.
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

    /// Adds the session to the session table, once the client's address is final.
    fn publish(&mut self) {
        proxy_protocol::assign_unique_id(&mut self.peer, self.context.proxy_protocol);
        self.entry = self.context.stats.track(&self.peer, self.began);
    }

    /// Returns whether the session is in the session table.
    fn is_published(&self) -> bool {
        self.entry.is_some()
    }

    /// Returns the record of a session that ends now.
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

/// Relays until the session ends or an administrator kills it.
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
    // Boxed: the session would carry this short-lived future to its end.
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

/// A relay that reports its events to [`busy_poll`] and holds the guard that keeps the server awake.
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
    /// Keeps the byte counts for the record of an aborted session.
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

/// Relays, and stops counting the session as use of the service after a time without traffic.
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

/// Relays, and updates the byte counters after each poll.
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
