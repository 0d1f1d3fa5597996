//! Sessions between socket pairs, and what all tests of them share.

use std::io::Read;
use std::net;
use std::os::fd::OwnedFd;
use std::os::unix;
use std::sync::Arc;
use std::time::Duration;

use dormouse_relay::{Kind, Limits, Pipes, Relay, Report, Stream};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Longer than any session here lasts.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A session between two ends, which tells how it ended.
pub(crate) fn relay(
    downstream: OwnedFd,
    upstream: OwnedFd,
    limits: Limits,
    pipes: Arc<Pipes>,
) -> JoinHandle<Report> {
    let (downstream, upstream) = (stream(downstream), stream(upstream));
    let relay = Relay::new(downstream, upstream, Vec::new(), Arc::new(limits), pipes);
    tokio::spawn(relay.since(Instant::now()))
}

fn stream(fd: OwnedFd) -> Stream {
    rustix::io::ioctl_fionbio(&fd, true).unwrap();
    let family = rustix::net::sockopt::socket_domain(&fd).unwrap();
    let unix = family == rustix::net::AddressFamily::UNIX;
    let stream = Stream::new(fd, if unix { Kind::Unix } else { Kind::Plain }, false).unwrap();
    stream.reusable((!unix).then_some(family))
}

/// A TCP connection: the end of whoever talks through the relay, which blocks, and the relay's.
pub(crate) fn tcp_pair() -> (net::TcpStream, OwnedFd) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let far = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    (far, listener.accept().unwrap().0.into())
}

/// The same with UNIX sockets.
pub(crate) fn unix_pair() -> (unix::net::UnixStream, OwnedFd) {
    let (far, near) = unix::net::UnixStream::pair().unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    (far, near.into())
}

/// Client, server and the session between them.
pub(crate) fn tcp(limits: Limits) -> (TcpStream, TcpStream, JoinHandle<Report>) {
    let ((client, downstream), (server, upstream)) = (tcp_pair(), tcp_pair());
    let far = |socket: net::TcpStream| {
        socket.set_nonblocking(true).unwrap();
        TcpStream::from_std(socket).unwrap()
    };
    (far(client), far(server), relay(downstream, upstream, limits, Pipes::new(64)))
}

/// The same with UNIX sockets.
pub(crate) fn unix(limits: Limits) -> (UnixStream, UnixStream, JoinHandle<Report>) {
    let ((client, downstream), (server, upstream)) = (unix_pair(), unix_pair());
    let far = |socket: unix::net::UnixStream| {
        socket.set_nonblocking(true).unwrap();
        UnixStream::from_std(socket).unwrap()
    };
    (far(client), far(server), relay(downstream, upstream, limits, Pipes::new(64)))
}

/// Waits for the session's end.
pub(crate) async fn ended(report: JoinHandle<Report>) -> Report {
    timeout(PATIENCE, report).await.expect("the session must end").unwrap()
}

/// Waits until the server has heard just this, while the relay runs on this thread.
pub(crate) async fn hears(server: &net::TcpStream, words: &'static [u8]) {
    let mut server = server.try_clone().unwrap();
    let heard = tokio::task::spawn_blocking(move || {
        let mut heard = vec![0; words.len()];
        server.read_exact(&mut heard).map(|()| heard)
    });
    assert_eq!(heard.await.unwrap().unwrap(), words);
}
