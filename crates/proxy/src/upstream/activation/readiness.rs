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
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::connect::retry_pace::RetryPace;
use crate::connect::{OnRefused, Route};
use crate::upstream::exchange::exchange;

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
    /// Returns a probe that tries until the server is ready. `reported`: notified when the workload reports itself ready.
    pub(super) fn probe(
        &self,
        route: &Arc<Route>,
        reported: &Arc<Notify>,
        urgency: Urgency,
        context: ActivatorContext,
    ) -> Probe {
        let (readiness, route, reported) = (self.clone(), Arc::clone(route), Arc::clone(reported));
        Box::pin(async move {
            loop {
                let conn = readiness.await_ready(&route, &reported, urgency, &context).await;
                if readiness.settle.is_zero() {
                    return conn;
                }
                drop(conn);
                sleep(readiness.settle).await;
                // The server must be ready still.
                if matches!(readiness.ready, Ready::Notify | Ready::Healthy)
                    || readiness.try_once(&route, &context).await.is_some()
                {
                    return None;
                }
            }
        })
    }

    async fn await_ready(
        &self,
        route: &Route,
        reported: &Notify,
        urgency: Urgency,
        context: &ActivatorContext,
    ) -> Option<Stream> {
        let path = match &self.ready {
            Ready::Notify | Ready::Healthy => {
                reported.notified().await;
                return None;
            }
            Ready::File(path) => Some(path.as_path()),
            Ready::Connect | Ready::Expect { .. } => route.path(),
            Ready::Command(_) => None,
        };
        let mut pace = match urgency {
            Urgency::Requested => RetryPace::new(path),
            Urgency::Background => RetryPace::background(path),
        };
        loop {
            pace.watch(false);
            if let Some(conn) = self.try_once(route, context).await {
                return conn;
            }
            pace.next_try().await;
        }
    }

    /// Tries once. Returns `None` if the server is not ready, else the connection that showed it, if there is one.
    async fn try_once(&self, route: &Route, context: &ActivatorContext) -> Option<Option<Stream>> {
        match &self.ready {
            Ready::Notify | Ready::Healthy => Some(None),
            Ready::Connect => {
                let conn = route.connect(false, OnRefused::GiveUp).await.ok()?;
                // The server has seen the credentials of dormouse, which no client may get.
                Some(Some(conn).filter(|_| !route.passes_credentials()))
            }
            Ready::File(path) => Path::exists(path).then_some(None),
            Ready::Command(argv) => succeeds(argv, context, ATTEMPT_TIMEOUT).await.then_some(None),
            Ready::Expect { send, expect } => {
                let server = route.connect(false, OnRefused::GiveUp).await.ok()?;
                let answered = timeout(ATTEMPT_TIMEOUT, exchange(server, send, expect)).await;
                (answered == Ok(true)).then_some(None)
            }
        }
    }
}
