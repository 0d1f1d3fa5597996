//! One connection to several addresses: each gets a head start over the next (Happy Eyeballs, RFC 8305).

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use dormouse_core::backoff::Backoff;
use dormouse_relay::{Stream, StreamKind, reset_on_close, socket_fd, socket_reuse};
use dormouse_sys::event_loop::register;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketFlags, SocketType, connect, getpeername, getsockname, socket_with,
    sockopt,
};
use tokio::time::{sleep, timeout};

use super::endpoint::Endpoint;
use super::error::{AddressFailed, ConnectError};
use super::options::{is_within, prepare_fresh};

/// The connection attempt delay of RFC 8305, section 5: the cost of a dead first address.
const HEAD_START: Duration = Duration::from_millis(250);
/// The maximum number of concurrent attempts, which bounds the descriptors of a session.
const MAX_AT_ONCE: usize = 4;

/// What to do when one of several addresses refuses while another has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRefused {
    /// Do not try the address again.
    GiveUp,
    /// Try the address again: a server may be about to listen.
    Retry,
}

type Attempt<'a> = Pin<Box<dyn Future<Output = Result<Stream, AddressFailed>> + Send + 'a>>;

/// Connects to the first endpoint that answers. Returns the failures of others, too.
pub(super) async fn race(
    endpoints: &[Endpoint],
    connect_timeout: Option<Duration>,
    client_has_data: bool,
    on_refused: OnRefused,
) -> Result<(Stream, Vec<AddressFailed>), ConnectError> {
    if let [only] = endpoints {
        return dial(only, connect_timeout, client_has_data)
            .await
            .map(|stream| (stream, Vec::new()))
            .map_err(|failed| ConnectError::AllFailed(vec![failed]));
    }
    let mut waiting: VecDeque<&Endpoint> = endpoints.iter().collect();
    let mut running: Vec<Attempt<'_>> = Vec::new();
    let mut failures: Vec<AddressFailed> = Vec::new();
    let mut head_start = Box::pin(sleep(Duration::ZERO));
    let mut again = Box::pin(sleep(Duration::ZERO));
    let mut backoff = Backoff::READINESS;
    std::future::poll_fn(move |cx| {
        loop {
            let due = running.is_empty() || head_start.as_mut().poll(cx).is_ready();
            if due && running.len() < MAX_AT_ONCE {
                if let Some(endpoint) = waiting.pop_front() {
                    running.push(Box::pin(dial(endpoint, connect_timeout, client_has_data)));
                    head_start = Box::pin(sleep(HEAD_START));
                    continue;
                }
            }
            if running.is_empty() {
                return Poll::Ready(Err(ConnectError::AllFailed(std::mem::take(&mut failures))));
            }
            let before = running.len();
            let mut connected = None;
            running.retain_mut(|attempt| match attempt.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(Ok(stream)) => {
                    connected.get_or_insert(stream);
                    false
                }
                Poll::Ready(Err(failed)) => {
                    failures.retain(|former| former.address != failed.address);
                    failures.push(failed);
                    false
                }
            });
            if let Some(stream) = connected {
                return Poll::Ready(Ok((stream, std::mem::take(&mut failures))));
            }
            if running.len() != before {
                // After a failure the next address is tried at once.
                head_start = Box::pin(sleep(Duration::ZERO));
                continue;
            }
            let is_worth_it = on_refused == OnRefused::Retry && waiting.is_empty();
            let refused = |endpoint: &&Endpoint| {
                failures.iter().any(|failed| failed.is_refused() && failed.address == **endpoint)
            };
            if is_worth_it
                && endpoints.iter().any(|endpoint| refused(&endpoint))
                && again.as_mut().poll(cx).is_ready()
            {
                waiting.extend(endpoints.iter().filter(refused));
                again = Box::pin(sleep(backoff.next_delay()));
                head_start = Box::pin(sleep(Duration::ZERO));
                continue;
            }
            return Poll::Pending;
        }
    })
    .await
}

/// Connects to one endpoint.
async fn dial(
    endpoint: &Endpoint,
    connect_timeout: Option<Duration>,
    client_has_data: bool,
) -> Result<Stream, AddressFailed> {
    let failed = |error: Errno| AddressFailed { address: endpoint.clone(), error };
    let from_io = |error: std::io::Error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    let Opened { socket, reusable, delayed } = open(endpoint, client_has_data).map_err(failed)?;
    let kind = endpoint.kind();
    let connected = |socket| Stream::new(socket, kind, false).map_err(from_io);
    let stream = match start_connect(&socket, &endpoint.to_any()).map_err(failed)? {
        Progress::Connected => connected(socket),
        Progress::InProgress => match connect_timeout {
            None => established(socket, kind).await.map_err(from_io),
            Some(connect_timeout) => match timeout(connect_timeout, established(socket, kind)).await {
                Ok(stream) => stream.map_err(from_io),
                Err(_) => Err(failed(Errno::TIMEDOUT)),
            },
        },
    };
    let stream = stream?;
    if stream.socket().is_some_and(|socket| is_its_own_peer(socket, endpoint)) {
        // A reset does not leave the server's port in TIME-WAIT.
        stream.socket().into_iter().for_each(reset_on_close);
        return Err(failed(Errno::CONNREFUSED));
    }
    Ok(stream.with_delayed_acks(delayed).reusable(reusable))
}

/// Returns whether a socket is connected to itself. The kernel may choose the destination port as the local port if no
/// program listens there, and a TCP socket can then connect to itself (RFC 9293, section 3.5, "simultaneous open").
fn is_its_own_peer(socket: BorrowedFd<'_>, endpoint: &Endpoint) -> bool {
    let Endpoint::Inet(server) = endpoint else { return false };
    let inet = |address: SocketAddrAny| SocketAddr::try_from(address).ok();
    let own = getsockname(socket).ok().and_then(inet).filter(|own| own.port() == server.port());
    own.is_some() && getpeername(socket).ok().flatten().and_then(inet) == own
}

/// A socket that is not connected yet.
struct Opened {
    socket: OwnedFd,
    /// The address family in which the socket may be reused.
    reusable: Option<AddressFamily>,
    /// Whether the last acknowledgement of the handshake travels with the client's bytes.
    delayed: bool,
}

fn open(endpoint: &Endpoint, client_has_data: bool) -> Result<Opened, Errno> {
    let family = endpoint.family();
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fresh = || socket_reuse::open_or_make_room(|| socket_with(family, SocketType::STREAM, flags, None));
    let Endpoint::Inet(address) = endpoint else {
        return Ok(Opened { socket: fresh()?, reusable: None, delayed: false });
    };
    let server = address.ip();
    // An IPv6 socket that connected to IPv4 once can never connect to IPv6 again.
    let mapped = server.to_canonical() != server;
    let within = (is_within(server) && !mapped).then_some(family);
    let (socket, reusable) = if let Some(socket) = within.and_then(socket_reuse::take) {
        (socket, within)
    } else {
        let socket = fresh()?;
        // The options only improve performance; a failure is ignored.
        let prepared = prepare_fresh(&socket, server).is_ok();
        (socket, within.filter(|_| prepared))
    };
    let delayed = client_has_data && sockopt::set_tcp_quickack(&socket, false).is_ok();
    Ok(Opened { socket, reusable, delayed })
}

enum Progress {
    Connected,
    InProgress,
}

fn start_connect(socket: &OwnedFd, address: &SocketAddrAny) -> Result<Progress, Errno> {
    match connect(socket, address) {
        Ok(()) => return Ok(Progress::Connected),
        Err(Errno::INPROGRESS | Errno::INTR) => {}
        Err(error) => return Err(error),
    }
    // On loopback the handshake is complete when the call returns, and a second call reports it.
    match connect(socket, address) {
        Ok(()) | Err(Errno::ISCONN) => Ok(Progress::Connected),
        Err(Errno::ALREADY | Errno::INPROGRESS | Errno::INTR) => Ok(Progress::InProgress),
        Err(error) => Err(error),
    }
}

/// Waits for a connection in progress.
async fn established(socket: OwnedFd, kind: StreamKind) -> std::io::Result<Stream> {
    let fd = register(socket_fd(socket, kind), Stream::READ_WRITE)?;
    fd.writable().await?.retain_ready();
    sockopt::socket_error(fd.get_ref())??;
    Ok(Stream::from_connected(fd, kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::time::Instant;

    fn endpoint(listener: &TcpListener) -> Endpoint {
        Endpoint::Inet(listener.local_addr().unwrap())
    }

    /// A port whose backlog is full: the kernel drops what comes, as a dead host would.
    fn black_hole() -> (Endpoint, Vec<OwnedFd>) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let open = || socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        let listener = open();
        rustix::net::bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = SocketAddr::try_from(getsockname(&listener).unwrap()).unwrap();
        let mut kept = vec![listener];
        for _ in 0..4 {
            let client = open();
            let _ = connect(&client, &address);
            kept.push(client);
        }
        (Endpoint::Inet(address), kept)
    }

    fn refusing() -> Endpoint {
        endpoint(&TcpListener::bind("127.0.0.1:0").unwrap())
    }

    #[tokio::test]
    async fn a_dead_first_address_costs_its_head_start_and_no_more() {
        let (dead, _kept) = black_hole();
        let live = TcpListener::bind("127.0.0.1:0").unwrap();
        let began = Instant::now();
        race(&[dead, endpoint(&live)], Some(Duration::from_secs(20)), false, OnRefused::GiveUp)
            .await
            .unwrap();
        assert!(began.elapsed() >= HEAD_START / 2, "the first address was tried first");
        assert!(began.elapsed() < HEAD_START * 4, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn an_address_that_refuses_causes_no_delay() {
        let live = TcpListener::bind("127.0.0.1:0").unwrap();
        let began = Instant::now();
        race(&[refusing(), refusing(), endpoint(&live)], None, false, OnRefused::GiveUp).await.unwrap();
        assert!(began.elapsed() < HEAD_START, "{:?}", began.elapsed());
    }

    #[test]
    fn sockets_are_passed_on_within_the_machine_where_none_can_tell() {
        let reusable = |server: &str| {
            open(&Endpoint::Inet(SocketAddr::new(server.parse().unwrap(), 1)), false).unwrap().reusable
        };
        assert_eq!(reusable("127.0.0.1"), Some(AddressFamily::INET));
        assert_eq!(reusable("::1"), Some(AddressFamily::INET6));
        for other in ["::ffff:127.0.0.1", "192.0.2.1", "2001:db8::1"] {
            assert_eq!(reusable(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn the_error_contains_every_address() {
        let (dead, _kept) = black_hole();
        let error = race(&[dead, refusing()], Some(Duration::from_millis(300)), false, OnRefused::Retry)
            .await
            .unwrap_err();
        let ConnectError::AllFailed(failures) = error else { panic!("{error}") };
        let mut errors: Vec<_> = failures.iter().map(|failure| failure.error).collect();
        errors.sort_by_key(|error| error.raw_os_error());
        assert_eq!(errors, [Errno::TIMEDOUT, Errno::CONNREFUSED]);
    }
}
