//! Sessions between socket pairs, and the helpers of all tests.

use std::io::Read;
use std::net;
use std::os::fd::OwnedFd;
use std::os::unix;
use std::sync::Arc;
use std::time::Duration;

use dormouse_relay::{Limits, Pipes, Relay, Report, Stream, StreamKind};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Longer than any session of the tests.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// Starts a session between two sockets. The task returns the report.
pub(crate) fn relay(
    downstream: OwnedFd,
    upstream: OwnedFd,
    limits: Limits,
    pipes: Arc<Pipes>,
) -> JoinHandle<Report> {
    let (downstream, upstream) = (stream(downstream), stream(upstream));
    let relay = Relay::new(downstream, upstream, Vec::new(), Arc::new(limits), pipes);
    tokio::spawn(relay.started_at(Instant::now()))
}

fn stream(fd: OwnedFd) -> Stream {
    rustix::io::ioctl_fionbio(&fd, true).unwrap();
    let family = rustix::net::sockopt::socket_domain(&fd).unwrap();
    let unix = family == rustix::net::AddressFamily::UNIX;
    let stream = Stream::new(fd, if unix { StreamKind::Unix } else { StreamKind::Other }, false).unwrap();
    stream.reusable((!unix).then_some(family))
}

/// Returns a TCP connection: the peer's end, which blocks, and the relay's end.
pub(crate) fn tcp_pair() -> (net::TcpStream, OwnedFd) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let far = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    far.set_read_timeout(Some(TIMEOUT)).unwrap();
    (far, listener.accept().unwrap().0.into())
}

/// Returns a UNIX connection: the peer's end, which blocks, and the relay's end.
pub(crate) fn unix_pair() -> (unix::net::UnixStream, OwnedFd) {
    let (far, near) = unix::net::UnixStream::pair().unwrap();
    far.set_read_timeout(Some(TIMEOUT)).unwrap();
    (far, near.into())
}

/// Starts a session over TCP. Returns the client, the server and the session.
pub(crate) fn tcp(limits: Limits) -> (TcpStream, TcpStream, JoinHandle<Report>) {
    let ((client, downstream), (server, upstream)) = (tcp_pair(), tcp_pair());
    let far = |socket: net::TcpStream| {
        socket.set_nonblocking(true).unwrap();
        TcpStream::from_std(socket).unwrap()
    };
    (far(client), far(server), relay(downstream, upstream, limits, Pipes::new(64)))
}

/// Starts a session over UNIX sockets. Returns the client, the server and the session.
pub(crate) fn unix(limits: Limits) -> (UnixStream, UnixStream, JoinHandle<Report>) {
    let ((client, downstream), (server, upstream)) = (unix_pair(), unix_pair());
    let far = |socket: unix::net::UnixStream| {
        socket.set_nonblocking(true).unwrap();
        UnixStream::from_std(socket).unwrap()
    };
    (far(client), far(server), relay(downstream, upstream, limits, Pipes::new(64)))
}

/// Waits for the end of the session.
pub(crate) async fn ended(report: JoinHandle<Report>) -> Report {
    timeout(TIMEOUT, report).await.expect("the session must end").unwrap()
}

/// Waits until the server has received exactly these bytes, while the relay runs on this thread.
pub(crate) async fn expect_bytes(server: &net::TcpStream, bytes: &'static [u8]) {
    let mut server = server.try_clone().unwrap();
    let received = tokio::task::spawn_blocking(move || {
        let mut received = vec![0; bytes.len()];
        server.read_exact(&mut received).map(|()| received)
    });
    assert_eq!(received.await.unwrap().unwrap(), bytes);
}
