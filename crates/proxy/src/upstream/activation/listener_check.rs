//! Whose listener a new connection has reached: that of the workload, or that of a stranger who listens at its address.
//!
//! While a workload sleeps, any user of the machine may listen at its TCP address. So each start asks the kernel who
//! listens there, and who has accepted the connection that shows that the server is ready. Later connections to that
//! address are not judged: while the workload has its listener, no other user gets the address. A name may have several
//! addresses, and new ones; the first connection to each of them is judged.

mod peer;
mod refused;
mod report;
mod suspects;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_activate::{ActivatorConfig, ActivatorContext, ListenerRule, Owner, Verdict};
use dormouse_config::spelling::Spelling;
use dormouse_core::sock_diag::InetSocket;
use dormouse_relay::Stream;
use dormouse_sys::sock_diag;
use rustix::io::Errno;
use tokio::time::timeout;

use self::peer::{Peer, peer_of};
use self::refused::RefusedSocket;
use self::report::Report;
use self::suspects::{Suspects, Usable};
use crate::upstream::wakeable::{ConnectionCheck, JudgedPeers, NotTheServer, WakeableServer};
use dormouse_connect::{ConnectError, Endpoint, Route};

/// The time that the addresses of a name may take. The connection has just used them.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Judges the listeners at the address of one server, for one start.
#[derive(Debug)]
pub(super) struct ListenerCheck {
    rule: ListenerRule,
    route: Arc<Route>,
    activator: ActivatorConfig,
    context: ActivatorContext,
    /// The listeners that were there before the start. `None`: dormouse did not start this run.
    before: Option<ListenersBefore>,
    /// Where the workload listens. No more is asked about connections to these addresses.
    judged: Arc<JudgedPeers>,
    /// Somebody has taken a connection, and is no stranger as far as is known.
    took_connection: AtomicBool,
    refused: RefusedSocket,
    report: Report,
}

/// The identities of the listeners that were at the addresses of a server before dormouse started it.
#[derive(Debug, Clone, Default)]
pub(super) struct ListenersBefore(HashSet<u64>);

/// What may be done with a connection.
#[derive(Debug)]
pub(super) enum Judged {
    /// It leads to the server.
    Server(Stream),
    /// The server listens, but this connection is over or translated (NAT): its other end has no owner here. A client
    /// gets another one.
    Reconnect(Stream),
    /// It leads to a stranger, who has this address.
    Stranger(Option<Endpoint>),
    /// It is over, or could not be judged, and says nothing about the server. The next try may.
    Inconclusive,
}

/// What came of a look at the sockets at an address.
enum Outcome {
    /// All belong to the workload, as far as they are judged.
    Own(Box<Suspects>),
    /// Their owner is unknown.
    Unknown,
    /// One belongs to a stranger.
    Stranger,
    /// A limit of the system prevented the look, or a socket has gone. The next try looks again.
    Failed,
}

impl ListenersBefore {
    /// Returns the listeners that are at the addresses of a server now.
    pub(super) async fn look(route: &Route) -> Self {
        let addresses = local_addresses(route).await.into_iter();
        let found = addresses.filter_map(|address| sock_diag::listeners(address).ok());
        Self(found.flatten().map(|listener| listener.cookie).collect())
    }
}

impl ListenerCheck {
    /// Creates the check for one start of the server with this route. `spelling` is how advice names the settings.
    pub(super) fn new(
        rule: ListenerRule,
        route: &Arc<Route>,
        activator: &ActivatorConfig,
        context: ActivatorContext,
        before: Option<ListenersBefore>,
        (server, spelling): (&Arc<WakeableServer>, Spelling),
    ) -> Arc<Self> {
        let report = Report::new(server, context.log.clone(), activator.to_string(), spelling);
        let (route, activator) = (Arc::clone(route), activator.clone());
        let (judged, refused) = (Arc::default(), RefusedSocket::default());
        let took_connection = AtomicBool::new(false);
        Arc::new(Self { rule, route, activator, context, before, judged, took_connection, refused, report })
    }

    /// Returns whether somebody who is no stranger, as far as is known, has taken a connection.
    pub(super) fn took_connection(&self) -> bool {
        self.took_connection.load(Ordering::Relaxed)
    }

    /// Reports that the socket of the server does not let dormouse in.
    pub(super) fn report_denied(&self, error: &ConnectError) {
        self.report.denied(error);
    }

    /// Judges a new connection to the server.
    pub(super) async fn connection(self: &Arc<Self>, stream: Stream) -> Judged {
        self.took_connection.store(true, Ordering::Relaxed);
        let (peer, other_end) = (stream.socket().and_then(Endpoint::of_peer), peer_of(&stream));
        match (self.rule, other_end) {
            (ListenerRule::Own | ListenerRule::OwnBeforeStart, Peer::Inet { local, peer: address }) => {
                match self.look_at(address, Some(local)).await {
                    Outcome::Own(suspects) => match suspects.usable(self.rule) {
                        Usable::Connection => Judged::Server(stream),
                        Usable::Listener => Judged::Reconnect(stream),
                        Usable::Nothing => Judged::Inconclusive,
                    },
                    Outcome::Unknown => Judged::Server(stream),
                    Outcome::Stranger => Judged::Stranger(peer),
                    Outcome::Failed => Judged::Inconclusive,
                }
            }
            (ListenerRule::Own, Peer::Unix(listener)) => {
                let owner = self.owner().await;
                let verdict = owner.judge_listener(listener).await;
                let path = self.route.path().map_or_else(String::new, |path| path.display().to_string());
                match self.outcome(verdict, &path) {
                    Ok(()) | Err(Outcome::Unknown) => {
                        if let Some(peer) = peer {
                            self.judged.insert(peer);
                        }
                        Judged::Server(stream)
                    }
                    Err(Outcome::Stranger) => Judged::Stranger(peer),
                    Err(_) => Judged::Inconclusive,
                }
            }
            (ListenerRule::Own | ListenerRule::OwnBeforeStart, Peer::Gone) => Judged::Inconclusive,
            // Another machine, or the UNIX socket of a unit or a container.
            (_, Peer::Other | Peer::Unix(_)) | (ListenerRule::Any, _) => Judged::Server(stream),
        }
    }

    /// Returns the check for clients' connections; `None` where anybody may listen.
    pub(super) fn for_clients(self: &Arc<Self>) -> Option<ConnectionCheck> {
        if self.rule == ListenerRule::Any {
            return None;
        }
        let check = Arc::clone(self);
        Some(ConnectionCheck::new(Arc::clone(&self.judged), move |stream| {
            let check = Arc::clone(&check);
            Box::pin(async move {
                match check.connection(stream).await {
                    Judged::Server(stream) | Judged::Reconnect(stream) => Ok(stream),
                    Judged::Stranger(peer) => Err(NotTheServer::Stranger(peer)),
                    Judged::Inconclusive => Err(NotTheServer::Inconclusive),
                }
            })
        }))
    }

    /// Judges the listeners at the server's addresses. Returns whether there is an address without a stranger.
    pub(super) async fn listeners(self: &Arc<Self>) -> bool {
        if self.rule == ListenerRule::Any {
            return true;
        }
        let mut is_usable = true;
        for address in local_addresses(&self.route).await {
            match self.look_at(address, None).await {
                Outcome::Failed => return false,
                Outcome::Stranger => is_usable &= self.route.avoid(&Endpoint::Inet(address)).await,
                Outcome::Own(_) | Outcome::Unknown => {}
            }
        }
        is_usable
    }

    /// Judges the listeners at an address, and the connection from `local` to it. An address where the workload listens
    /// is not judged again.
    async fn look_at(self: &Arc<Self>, peer: SocketAddr, local: Option<SocketAddr>) -> Outcome {
        let outcome = self.judge_address(peer, local).await;
        let has_listener = match &outcome {
            Outcome::Own(suspects) => suspects.has_listener(),
            Outcome::Unknown => true,
            Outcome::Stranger | Outcome::Failed => false,
        };
        if has_listener {
            self.judged.insert(Endpoint::Inet(peer));
        }
        outcome
    }

    async fn judge_address(self: &Arc<Self>, peer: SocketAddr, local: Option<SocketAddr>) -> Outcome {
        let suspects = match self.suspects(peer, local) {
            Ok(suspects) => suspects,
            Err(error) if sock_diag::is_unavailable(error) => {
                self.report.unknown(&format!("the kernel's socket diagnostics are unavailable: {error}"));
                return Outcome::Unknown;
            }
            Err(_) => return Outcome::Failed,
        };
        if !suspects.later.is_empty() {
            self.warn_in_background(peer, suspects.later.clone());
        }
        if !suspects.strict.is_empty() {
            if self.refused.is_among(&suspects.strict) {
                return Outcome::Stranger;
            }
            let owner = self.owner().await;
            // A program may end at any moment, and a thread may take long to begin.
            if owner.is_evident_for(&suspects.strict).await {
                return Outcome::Own(Box::new(suspects));
            }
            let judging = Arc::clone(self).judge_strictly(owner, suspects.strict.clone(), peer, local);
            // A task, so that the log names the stranger even if the program ends meanwhile because the address is taken.
            match tokio::spawn(judging).await {
                Ok(Ok(())) => {}
                Ok(Err(outcome)) => return outcome,
                Err(_) => return Outcome::Failed,
            }
        }
        Outcome::Own(Box::new(suspects))
    }

    /// Judges sockets that must belong to the workload, and reports what comes of it.
    async fn judge_strictly(
        self: Arc<Self>,
        owner: Owner,
        strict: Vec<InetSocket>,
        peer: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Result<(), Outcome> {
        let judged = owner.judge_all(&strict).await;
        if let Some((Verdict::Stranger(_), cookie)) = &judged {
            // A program that takes one connection may have closed its listener meanwhile. It has no owner then.
            let now = self.suspects(peer, local);
            if !now.is_ok_and(|now| now.strict.iter().any(|socket| socket.cookie == *cookie)) {
                return Err(Outcome::Failed);
            }
            self.refused.record(*cookie);
        }
        self.outcome(judged.map(|(verdict, _)| verdict), &peer.to_string())
    }

    /// Returns the sockets to judge. The order matters: a connection that waits in a queue afterwards was taken by one of
    /// the listeners seen before.
    fn suspects(&self, peer: SocketAddr, local: Option<SocketAddr>) -> Result<Suspects, Errno> {
        let listeners = sock_diag::listeners(peer)?;
        let end = local.map(|local| sock_diag::other_end(local, peer)).transpose()?;
        let before = self.before.as_ref().filter(|_| self.rule == ListenerRule::OwnBeforeStart);
        Ok(Suspects::new(listeners, end.flatten(), before.map(|before| &before.0)))
    }

    async fn owner(&self) -> Owner {
        self.activator.owner(&self.context.processes).await
    }

    /// Reports a verdict, unless all is well. `None`: a limit of the system prevented it.
    fn outcome(&self, verdict: Option<Verdict>, address: &str) -> Result<(), Outcome> {
        match verdict {
            Some(Verdict::Own) => Ok(()),
            Some(Verdict::Unknown(reason)) => {
                self.report.unknown(&reason);
                Err(Outcome::Unknown)
            }
            Some(Verdict::Stranger(name)) => {
                self.took_connection.store(false, Ordering::Relaxed);
                self.report.refused(address, &name);
                Err(Outcome::Stranger)
            }
            None => Err(Outcome::Failed),
        }
    }

    /// Warns of a stranger among listeners that appeared after the start. The client does not wait for it.
    fn warn_in_background(self: &Arc<Self>, address: SocketAddr, later: Vec<InetSocket>) {
        if !self.report.begin_warning() {
            return;
        }
        let check = Arc::clone(self);
        tokio::spawn(async move {
            let owner = check.owner().await;
            if let Some((Verdict::Stranger(name), _)) = owner.judge_all(&later).await {
                check.report.warn(&address.to_string(), &name);
            }
        });
    }
}

/// Returns those addresses of a server that are addresses of this machine.
async fn local_addresses(route: &Route) -> Vec<SocketAddr> {
    let all = timeout(RESOLVE_TIMEOUT, route.inet_addresses()).await.unwrap_or_default();
    let all = all.into_iter().map(|mut address| {
        // The kernel connects to loopback then.
        match address.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        address
    });
    all.filter(|address| sock_diag::is_local(address.ip())).collect()
}
