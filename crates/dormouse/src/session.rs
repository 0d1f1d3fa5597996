//! One session, from an accepted socket to its record.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use dormouse_core::proxy_protocol::{Addresses, Version, encode};
use dormouse_relay::{Kind, Limits, Pipes, Relay, Stream, reset_on_close};
use rustix::io::ioctl_fionread;

use crate::admission::Permit;
use crate::connect::Peer;
use crate::ledger::log::{Level, Recurring};
use crate::ledger::{Ledger, Outcome, Record};
use crate::service::{Refusal, Service};

/// What sessions of one service share.
#[derive(Debug)]
pub struct Shared {
    /// What is behind.
    pub service: Service,
    /// What is told of them.
    pub ledger: Ledger,
    /// The session limits.
    pub limits: Limits,
    /// The pipes of bulk flows.
    pub pipes: Arc<Pipes>,
    /// The header that the server gets first.
    pub proxy_protocol: Option<Version>,
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
    let wanted = shared.ledger.log.wants(Level::Debug) || shared.proxy_protocol.is_some();
    let peer = wanted.then(|| Box::new(Peer::of(&client.socket)));
    let (outcome, held) = relay(&shared, client, &permit, peer.as_deref(), began).await;
    let served = !matches!(outcome, Outcome::Unserved(_));
    if let Outcome::Unserved(refusal) = &outcome {
        tell(&shared.ledger, refusal);
    }
    let record = || Record {
        client: peer.map_or_else(Peer::unknown, |peer| *peer),
        held: held.duration_since(began),
        lasted: began.elapsed(),
        outcome,
    };
    shared.ledger.end(record, served);
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
    let server = match shared.service.lease(&mut client, says_first, permit).await {
        Ok(server) => server,
        Err(refusal) => {
            if let (true, Some(socket)) = (refusal.is_reset(), client.socket()) {
                reset_on_close(socket);
            }
            return (Outcome::Unserved(refusal), Instant::now());
        }
    };
    let held = if shared.ledger.log.wants(Level::Debug) { Instant::now() } else { began };
    let first = match (shared.proxy_protocol, peer) {
        (Some(version), Some(peer)) => header(shared, version, peer),
        _ => Vec::new(),
    };
    let report = Relay::new(client, server, first, shared.limits, Arc::clone(&shared.pipes)).await;
    (Outcome::Relayed(report), held)
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

fn tell(ledger: &Ledger, refusal: &Refusal) {
    if refusal.is_fault() {
        let kind = if refusal.is_ours() { Recurring::Internal } else { Recurring::Unserved };
        ledger.log.recurring(kind, Level::Err, format_args!("{refusal}"));
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
        assert!(bytes <= 896, "{bytes} bytes");
    }
}
