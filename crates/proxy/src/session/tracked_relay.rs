//! The relay of a session, with the guard of its server and the byte counters.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use dormouse_relay::{End, Relay, Report, Side, Stream};

use super::context::ServiceContext;
use super::info::SessionInfo;
use crate::busy_poll;
use crate::stats::sessions::SessionEntry;
use crate::upstream::{ServerGuard, UpstreamConn};

/// A relay that reports its events to [`busy_poll`] and holds the guard that keeps the server awake.
pub(super) struct TrackedRelay<'a> {
    relay: Relay,
    guard: Option<ServerGuard>,
    info: Option<&'a SessionInfo>,
}

impl<'a> TrackedRelay<'a> {
    pub(super) fn new(
        context: &ServiceContext,
        client: Stream,
        upstream: UpstreamConn,
        began: Instant,
        info: Option<&'a SessionInfo>,
    ) -> (Self, usize) {
        let index = upstream.guard.as_ref().map_or(0, ServerGuard::server);
        let UpstreamConn { server, guard, prefix, sent } = upstream;
        let (limits, pipes) = (Arc::clone(&context.limits), Arc::clone(&context.pipes));
        let relay = Relay::new(client, server, prefix, limits, pipes);
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
        if let Some(Poll::Ready(why)) = self.guard.as_mut().map(|guard| guard.poll_abort(cx)) {
            return Poll::Ready(self.relay.abort(why));
        }
        let done = Pin::new(&mut self.relay).poll(cx);
        if let Poll::Ready(report) = &done {
            self.mark_served(report);
        }
        done
    }
}

impl TrackedRelay<'_> {
    /// Tells the server that this session was served: the server sent something, or the client ended it.
    fn mark_served(&mut self, report: &Report) {
        let ended_first = match report.end {
            End::Gone(side) | End::Reset(side) => self.relay.ended_first().or(Some(side)),
            _ => self.relay.ended_first(),
        };
        if report.downstream_bytes == 0 && ended_first != Some(Side::Downstream) {
            return;
        }
        if let Some(guard) = &mut self.guard {
            guard.mark_served();
        }
    }
}

/// Relays, and stops counting the session as use of the service after a time without traffic.
pub(super) async fn relay_marking_idle(session: TrackedRelay<'_>, quiet: Duration) -> Report {
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

/// Relays, and updates the byte counters after each poll.
pub(super) async fn relay_counted(
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
