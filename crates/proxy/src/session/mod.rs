//! One session, from the accepted socket to its record.

mod context;
mod info;
mod tracked_relay;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dormouse_core::activation::LeaseRefusal;
use dormouse_log::{Level, Recurring};
use dormouse_relay::{Stream, reset_on_close};
use rustix::io::ioctl_fionread;
use tokio::task::JoinHandle;

use crate::admission::Permit;
use crate::client::{Client, Peer};
use crate::proxy_protocol;
use crate::refusal::Refusal;
use crate::stats::{Outcome, Record, TerminatedBy};
use crate::upstream::UpstreamRequest;
pub use context::ServiceContext;
use info::{ReachedServer, SessionInfo};
use tracked_relay::{TrackedRelay, relay_counted, relay_marking_idle};

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
        // The record is written before the permit is released, so a completed drain has all records.
        drop(info);
        drop(permit);
    }
}

/// Records a session that has ended.
fn end(context: &ServiceContext, info: Option<&SessionInfo>, began: Instant, outcome: &Outcome) {
    if let Outcome::Unserved(refusal) = outcome {
        log_refusal(context, info, refusal);
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
    let mut client = match Stream::of(client.socket, client_has_data) {
        Ok(client) => client.with_message_credentials(context.message_credentials),
        Err(error) => return Outcome::Unserved(Refusal::Unwatchable(error)),
    };
    let prefix = match (context.proxy_protocol, info) {
        (Some(send), Some(info)) => {
            proxy_protocol::encode_header(send, &client, &info.peer, &context.stats.log)
        }
        _ => Vec::new(),
    };
    let address = info.filter(|_| context.service.needs_client()).and_then(|info| info.peer.ip());
    let request = UpstreamRequest::new(&mut client, client_has_data, permit, &context.pipes).from(address);
    // Boxed: the session would carry this short-lived future to its end.
    let upstream = match Box::pin(context.service.acquire(request, prefix)).await {
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
        Box::pin(relay_marking_idle(session, quiet)).await
    } else {
        session.await
    };
    Outcome::Relayed(report)
}

fn log_refusal(context: &ServiceContext, info: Option<&SessionInfo>, refusal: &Refusal) {
    let ServiceContext { label, stats, spelling, .. } = context;
    if let (Refusal::NotWoken(LeaseRefusal::WakeNotAllowed, _), Some(info)) = (refusal, info) {
        let client = info.peer.phrase();
        stats.log.recurring(
            Recurring::WakeNotAllowed,
            Level::Info,
            format_args!(
                "{label}The service sleeps, and {client} may not wake it ({}).",
                spelling.call("wake.allow")
            ),
        );
    }
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
