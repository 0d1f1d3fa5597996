//! Holding clients while a server is on its way. One of them tries, so that a server that starts does not meet a
//! crowd; when it gets through, all others go at once.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use dormouse_core::timespan::TimeSpan;
use dormouse_relay::Stream;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until};

use super::Server;
use crate::admission::{FdPressure, Permit};
use crate::connect::retry_pace::RetryPace;
use crate::connect::{ConnectError, OnRefused};
use crate::refusal::Refusal;

/// A server that starts lets others in sooner than this after its socket is there.
const FORBIDDEN: Duration = Duration::from_secs(2);

/// Whose turn it is to try, and how often the server was found to be there.
#[derive(Debug)]
pub(super) struct Turn {
    trying: Mutex<()>,
    found: watch::Sender<u64>,
}

impl Turn {
    pub(super) fn new() -> Self {
        Self { trying: Mutex::new(()), found: watch::Sender::new(0) }
    }
}

/// What a held client last met.
struct Failure<'a> {
    permit: &'a Permit,
    /// Bytes of the client are at hand.
    client_has_data: bool,
    error: ConnectError,
    /// Since when nothing but a permission is missing.
    forbidden: Option<Instant>,
    /// While it lacks a descriptor that a newcomer might take.
    _fd_pressure: Option<FdPressure<'a>>,
}

impl<'a> Failure<'a> {
    fn new(permit: &'a Permit, client_has_data: bool, error: ConnectError) -> Self {
        let fd_pressure = error.lacks_resources().then(|| permit.report_fd_pressure());
        let forbidden = error.is_permission_denied().then(Instant::now);
        Self { permit, client_has_data, forbidden, _fd_pressure: fd_pressure, error }
    }

    /// Whether another try is worth it after this one.
    fn is_transient(&self, error: &ConnectError) -> bool {
        let waited = self.forbidden.filter(|_| error.is_permission_denied()).map(|since| since.elapsed());
        error.is_transient() && waited.is_none_or(|waited| waited < FORBIDDEN)
    }

    /// Keeps the failure of a try, if another try is worth it.
    fn or_again(&mut self, tried: Result<Stream, ConnectError>) -> Option<Result<Stream, ConnectError>> {
        match tried {
            Err(error) if self.is_transient(&error) => {
                let since = self.forbidden;
                *self = Self::new(self.permit, self.client_has_data, error);
                self.forbidden = self.forbidden.map(|now| since.unwrap_or(now));
                None
            }
            result => Some(result),
        }
    }
}

/// How long a client waits, over all that it waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) since: Instant,
    pub(super) deadline: Option<Instant>,
}

impl Patience {
    pub(super) fn new(wait: TimeSpan) -> Self {
        let since = Instant::now();
        Self { since, deadline: wait.finite().and_then(|wait| since.checked_add(wait)) }
    }

    /// Whether it is over.
    pub(super) fn is_over(self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Whether there was none from the start.
    pub(super) fn is_none(self) -> bool {
        self.deadline == Some(self.since)
    }

    /// The same without an end, where there was any: somebody else sees to the end.
    pub(super) fn endless(self) -> Self {
        if self.is_none() { self } else { Self { deadline: None, ..self } }
    }

    /// Patience for one round of tries. `within`: it ends with this one.
    pub(super) fn round(self, span: Duration, within: bool) -> Self {
        let ends = Instant::now().checked_add(span);
        let deadline = if within { ends.into_iter().chain(self.deadline).min() } else { ends };
        Self { since: self.since, deadline }
    }

    /// Waits until it is over, or for ever.
    pub(super) async fn over(self) {
        match self.deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }
}

impl Server {
    /// Connects once for a client who may leave meanwhile, or lose patience.
    pub(super) async fn connect_for(
        &self,
        client: &mut Stream,
        client_has_data: bool,
        patience: Patience,
    ) -> Result<Result<Stream, ConnectError>, Refusal> {
        let on_refused = if patience.is_none() { OnRefused::GiveUp } else { OnRefused::Retry };
        let mut connecting = pin!(self.route.connect(client_has_data, on_refused));
        let at_once = poll_fn(|cx| {
            Poll::Ready(match connecting.as_mut().poll(cx) {
                Poll::Ready(connected) => Some(connected),
                Poll::Pending => None,
            })
        });
        match at_once.await {
            Some(connected) => Ok(connected),
            // Boxed: within the machine nobody comes here.
            None => Box::pin(self.await_connection(connecting, client, patience)).await,
        }
    }

    async fn await_connection(
        &self,
        connecting: Pin<&mut impl Future<Output = Result<Stream, ConnectError>>>,
        client: &mut Stream,
        patience: Patience,
    ) -> Result<Result<Stream, ConnectError>, Refusal> {
        let loses_patience = async {
            // Without any, a connection has its own time.
            if patience.is_none() { std::future::pending().await } else { patience.over().await }
        };
        tokio::select! {
            biased;
            connected = connecting => Ok(connected),
            () = client.wait_for_departure() => Err(Refusal::ClientLeft),
            () = loses_patience => Err(Refusal::HoldTimeout(patience.since.elapsed(), self.route.unanswered())),
        }
    }

    /// Holds a client after a first failure until the server takes it.
    pub(super) async fn hold(
        &self,
        client: &mut Stream,
        client_has_data: bool,
        permit: &Permit,
        first: ConnectError,
        patience: Patience,
    ) -> Result<Stream, Refusal> {
        let mut failure = Failure::new(permit, client_has_data, first);
        let outcome = tokio::select! {
            biased;
            connected = self.await_server(&mut failure) => Some(connected),
            () = client.wait_for_departure() => return Err(Refusal::ClientLeft),
            () = patience.over() => None,
        };
        match outcome {
            Some(Ok(server)) => Ok(server),
            Some(Err(error)) => Err(Refusal::Unreachable(error)),
            None => Err(Refusal::HoldTimeout(patience.since.elapsed(), failure.error)),
        }
    }

    async fn await_server(&self, failure: &mut Failure<'_>) -> Result<Stream, ConnectError> {
        let mut found = self.turn.found.subscribe();
        loop {
            tokio::select! {
                _turn = self.turn.trying.lock() => {
                    let server = self.poll_server(failure).await;
                    self.turn.found.send_modify(|times| *times += 1);
                    return server;
                }
                _ = found.changed() => {}
            }
            if let Some(result) =
                failure.or_again(self.route.connect(failure.client_has_data, OnRefused::Retry).await)
            {
                return result;
            }
        }
    }

    /// Tries until the server is there, as soon as something tells of it and otherwise with growing delays.
    async fn poll_server(&self, failure: &mut Failure<'_>) -> Result<Stream, ConnectError> {
        let mut pace = RetryPace::new(self.route.path());
        loop {
            pace.watch(failure.error.lacks_resources());
            if let Some(result) =
                failure.or_again(self.route.connect(failure.client_has_data, OnRefused::Retry).await)
            {
                return result;
            }
            pace.next_try().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Admission, Decision, FdLimits};
    use crate::connect::{AddressFailed, Endpoint, Route};
    use crate::upstream::{Service, UpstreamRequest};
    use dormouse_config::limit::{AtLimit, Cap};
    use dormouse_core::address::Target;
    use dormouse_relay::{Pipes, StreamKind};
    use rustix::io::Errno;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;
    use std::sync::Arc;

    fn service(path: &std::path::Path, wait: TimeSpan) -> Arc<Service> {
        let route = Route::new(&Target::parse(path.as_os_str()).unwrap(), None).unwrap();
        Arc::new(Service::always_there(route, wait))
    }

    fn permit() -> Permit {
        Admission::new(Cap::DEFAULT, AtLimit::Refuse, &FdLimits::new(256)).admit()
    }

    #[test]
    fn only_who_lacks_what_a_newcomer_might_take_keeps_newcomers_out() {
        let admission = Admission::new(Cap::DEFAULT, AtLimit::Refuse, &FdLimits::new(256));
        let permit = admission.admit();
        for (error, room) in [(Errno::MFILE, Decision::Wait), (Errno::ADDRNOTAVAIL, Decision::Accept)] {
            let address = Endpoint::Inet("[::1]:80".parse().unwrap());
            let error = ConnectError::AllFailed(vec![AddressFailed { address, error }]);
            assert!(error.is_local_limit() && error.is_transient());
            let held = Failure::new(&permit, false, error);
            assert_eq!(admission.decide(), room, "{}", held.error);
        }
        assert_eq!(admission.decide(), Decision::Accept);
    }

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("dormouse-hold-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    fn client() -> (UnixStream, Stream) {
        let (far, near) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        (far, Stream::new(near.into(), StreamKind::Unix, false).unwrap())
    }

    #[tokio::test]
    async fn all_that_wait_go_when_the_socket_appears() {
        let directory = directory("all");
        let path = directory.join("socket");
        let service = service(&path, TimeSpan::from_secs(20));
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let service = Arc::clone(&service);
            waiting.spawn(async move {
                let (_far, mut near) = client();
                let place = permit();
                service
                    .lease(UpstreamRequest::new(&mut near, false, &place, &Pipes::new(0)), Vec::new())
                    .await
                    .map(drop)
            });
        }
        tokio::task::yield_now().await;
        let _server = UnixListener::bind(&path).unwrap();
        let all = async {
            while let Some(leased) = waiting.join_next().await {
                leased.unwrap().unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all).await.unwrap();
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_dropped_and_the_next_one_tries() {
        let directory = directory("leaves");
        let path = directory.join("socket");
        let service = service(&path, TimeSpan::from_secs(20));
        let (far, mut near) = client();
        let (first, second) = (permit(), permit());
        let gone = tokio::sync::Notify::new();
        let leaving = async {
            let left = service
                .lease(UpstreamRequest::new(&mut near, false, &first, &Pipes::new(0)), Vec::new())
                .await;
            gone.notify_one();
            left
        };
        let (_far, mut near) = client();
        let pipes = Pipes::new(0);
        let staying = service.lease(UpstreamRequest::new(&mut near, false, &second, &pipes), Vec::new());
        let meanwhile = async {
            drop(far);
            gone.notified().await;
            UnixListener::bind(&path).unwrap()
        };
        let all = async { tokio::join!(leaving, staying, meanwhile) };
        let (left, stayed, _server) = tokio::time::timeout(Duration::from_secs(10), all).await.unwrap();
        assert!(matches!(left, Err(Refusal::ClientLeft)), "{left:?}");
        stayed.unwrap();
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let path = PathBuf::from("/nonexistent/dormouse/socket");
        let service = service(&path, TimeSpan::from_secs(30));
        let (_far, mut near) = client();
        let began = Instant::now();
        let place = permit();
        let refusal = service
            .lease(UpstreamRequest::new(&mut near, false, &place, &Pipes::new(0)), Vec::new())
            .await
            .unwrap_err();
        assert!(matches!(refusal, Refusal::HoldTimeout(..)), "{refusal}");
        assert_eq!(began.elapsed().as_secs(), 30);
        assert!(refusal.to_string().contains("No such file"), "{refusal}");
    }
}
