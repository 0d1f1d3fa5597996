//! Finds out that a started server is ready.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dormouse_activate::ActivatorContext;
use dormouse_activate::command::succeeds;
use dormouse_config::model::Ready;
use dormouse_relay::Stream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::listener_check::{Judged, ListenerCheck};
use crate::upstream::exchange::exchange;
use dormouse_connect::retry_pace::RetryPace;
use dormouse_connect::{Endpoint, OnRefused, Route};

/// How to find out that a server is ready.
#[derive(Debug, Clone)]
pub(in crate::upstream) struct Readiness {
    /// What shows that the server is ready.
    pub(in crate::upstream) ready: Ready,
    /// How long the server must stay ready.
    pub(in crate::upstream) settle: Duration,
}

/// Ends when the server is ready. Returns the connection that showed it, if there is one.
pub(super) type Probe = Pin<Box<dyn Future<Output = Option<Stream>> + Send>>;

/// How urgently a server is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// A client or an administrator waits for the server.
    Requested,
    /// The server was found running, and no client waits for it.
    Background,
}

/// A command or an exchange that takes longer is tried again.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

impl Readiness {
    /// Returns whether a connection that the server has taken shows that it is ready.
    pub(super) fn needs_only_a_connection(&self) -> bool {
        matches!(self.ready, Ready::Connect) && self.settle.is_zero()
    }

    /// Returns a probe that tries until the server is ready. `reported`: whether the workload has reported itself ready.
    pub(super) fn probe(
        &self,
        route: &Arc<Route>,
        mut reported: watch::Receiver<bool>,
        urgency: Urgency,
        context: ActivatorContext,
        listeners: Arc<ListenerCheck>,
    ) -> Probe {
        let (readiness, route) = (self.clone(), Arc::clone(route));
        Box::pin(async move {
            if matches!(readiness.ready, Ready::Notify | Ready::Healthy) {
                // The sender lives as long as the run.
                let _ = reported.wait_for(|reported| *reported).await;
            }
            let tries =
                Tries { readiness: &readiness, route: &route, context: &context, listeners: &listeners };
            loop {
                let conn = tries.await_ready(urgency).await;
                if readiness.settle.is_zero() {
                    return conn;
                }
                drop(conn);
                sleep(readiness.settle).await;
                // The server must be ready still.
                if tries.try_once().await.is_some() {
                    return None;
                }
            }
        })
    }
}

/// What the tries of one start need.
struct Tries<'a> {
    readiness: &'a Readiness,
    route: &'a Route,
    context: &'a ActivatorContext,
    listeners: &'a Arc<ListenerCheck>,
}

impl Tries<'_> {
    async fn await_ready(&self, urgency: Urgency) -> Option<Stream> {
        let path = match &self.readiness.ready {
            Ready::File(path) => Some(path.as_path()),
            Ready::Connect | Ready::Expect { .. } => self.route.path(),
            Ready::Notify | Ready::Healthy | Ready::Command(_) => None,
        };
        let mut pace = match urgency {
            Urgency::Requested => RetryPace::new(path),
            Urgency::Background => RetryPace::background(path),
        };
        loop {
            pace.watch(false);
            if let Some(conn) = self.try_once().await {
                return conn;
            }
            pace.next_try().await;
        }
    }

    /// Tries once. Returns `None` if the server is not ready, else the connection that showed it, if there is one.
    async fn try_once(&self) -> Option<Option<Stream>> {
        let is_ready = match &self.readiness.ready {
            Ready::Connect => {
                return match self.connect().await? {
                    // The server has seen the credentials of dormouse, which no client may get.
                    Judged::Server(conn) => Some(Some(conn).filter(|_| !self.route.passes_credentials())),
                    Judged::Reconnect(_) => Some(None),
                    // The next try takes another address, where the server has one.
                    Judged::Stranger(peer) => {
                        self.avoid(peer).await;
                        None
                    }
                    Judged::Inconclusive => None,
                };
            }
            Ready::Expect { send, expect } => {
                // What is sent may be a secret.
                let server = match self.connect().await? {
                    Judged::Server(server) | Judged::Reconnect(server) => server,
                    Judged::Stranger(peer) => {
                        self.avoid(peer).await;
                        return None;
                    }
                    Judged::Inconclusive => return None,
                };
                let answered = timeout(ATTEMPT_TIMEOUT, exchange(server, send, expect)).await;
                return (answered == Ok(true)).then_some(None);
            }
            Ready::Notify | Ready::Healthy => true,
            Ready::File(path) => Path::exists(path),
            Ready::Command(argv) => succeeds(argv, self.context, ATTEMPT_TIMEOUT).await,
        };
        (is_ready && self.listeners.listeners().await).then_some(None)
    }

    /// Avoids an address that led to a stranger.
    async fn avoid(&self, stranger: Option<Endpoint>) {
        if let Some(stranger) = stranger {
            self.route.avoid(&stranger).await;
        }
    }

    /// Connects to the server, and judges the connection.
    async fn connect(&self) -> Option<Judged> {
        match self.route.connect(false, OnRefused::GiveUp).await {
            Ok(conn) => Some(self.listeners.connection(conn).await),
            Err(error) => {
                // It passes soon or never, and the end of the start says nothing about it.
                if error.is_permission_denied() {
                    self.listeners.report_denied(&error);
                }
                None
            }
        }
    }
}
