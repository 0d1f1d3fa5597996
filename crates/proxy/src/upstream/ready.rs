//! Finding out that a server that was started answers.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dormouse_activate::ActivatorContext;
use dormouse_activate::command::succeeds;
use dormouse_config::model::Ready;
use dormouse_relay::Stream;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::connect::retry_pace::RetryPace;
use crate::connect::{OnRefused, Route};

/// How to find out.
#[derive(Debug, Clone)]
pub(super) struct Readiness {
    pub(super) ready: Ready,
    pub(super) settle: Duration,
}

/// Ends when the server answers, with the connection that showed it.
pub(super) type Probe = Pin<Box<dyn Future<Output = Option<Stream>> + Send>>;

/// A command or an exchange that takes longer is tried again.
const PATIENCE: Duration = Duration::from_secs(5);

impl Readiness {
    /// Looks until the server answers. `says`: it has said so itself. `asked`: somebody wants it.
    pub(super) fn probe(
        &self,
        route: &Arc<Route>,
        says: &Arc<Notify>,
        asked: bool,
        context: ActivatorContext,
    ) -> Probe {
        let (readiness, route, says) = (self.clone(), Arc::clone(route), Arc::clone(says));
        Box::pin(async move {
            loop {
                let found = readiness.look(&route, &says, asked, &context).await;
                if readiness.settle.is_zero() {
                    return found;
                }
                drop(found);
                sleep(readiness.settle).await;
                // Still, after that time?
                if matches!(readiness.ready, Ready::Notify | Ready::Healthy)
                    || readiness.once(&route, &context).await.is_some()
                {
                    return None;
                }
            }
        })
    }

    async fn look(
        &self,
        route: &Route,
        says: &Notify,
        asked: bool,
        context: &ActivatorContext,
    ) -> Option<Stream> {
        let path = match &self.ready {
            Ready::Notify | Ready::Healthy => {
                says.notified().await;
                return None;
            }
            Ready::File(path) => Some(path.as_path()),
            Ready::Connect | Ready::Expect { .. } => route.path(),
            Ready::Command(_) => None,
        };
        let mut pace = if asked { RetryPace::new(path) } else { RetryPace::background(path) };
        loop {
            pace.watch(false);
            if let Some(found) = self.once(route, context).await {
                return found;
            }
            pace.next_try().await;
        }
    }

    /// One look.
    async fn once(&self, route: &Route, context: &ActivatorContext) -> Option<Option<Stream>> {
        match &self.ready {
            Ready::Notify | Ready::Healthy => Some(None),
            Ready::Connect => route.connect(false, OnRefused::GiveUp).await.ok().map(Some),
            Ready::File(path) => Path::exists(path).then_some(None),
            Ready::Command(argv) => succeeds(argv, context, PATIENCE).await.then_some(None),
            Ready::Expect { send, expect } => {
                let server = route.connect(false, OnRefused::GiveUp).await.ok()?;
                let heard = timeout(PATIENCE, exchange(server, send, expect)).await;
                (heard == Ok(true)).then_some(None)
            }
        }
    }
}

/// Says one thing and listens for another; the connection has done its duty then. With nothing to listen for, what is
/// said is enough.
pub(super) async fn exchange(mut server: Stream, says: &[u8], expect: &[u8]) -> bool {
    /// More than this is not looked through.
    const MOST: usize = 4096;
    let Some(socket) = server.socket() else { return false };
    if !says.is_empty() && send(socket, says, SendFlags::NOSIGNAL) != Ok(says.len()) {
        return false;
    }
    if expect.is_empty() {
        return true;
    }
    let mut heard = Vec::new();
    while heard.len() < MOST && server.wait_for_data().await {
        let Some(socket) = server.socket() else { return false };
        let mut piece = [0; 1024];
        match recv(socket, &mut piece, RecvFlags::empty()) {
            Ok((length, _)) => heard.extend_from_slice(piece.get(..length).unwrap_or_default()),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return false,
        }
        if heard.windows(expect.len()).any(|window| window == expect) {
            return true;
        }
    }
    false
}
