//! One connection from several addresses: each gets a head start over the next (RFC 8305).

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use dormouse_relay::Stream;
use dormouse_sys::watch::watch;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use tokio::io::Interest;
use tokio::time::{sleep, timeout};

use super::options::prepare_fresh;
use super::{AddressFailed, ConnectError, Endpoint};

/// RFC 8305, section 5, "Connection Attempt Delay": what a dead first address costs.
const HEAD_START: Duration = Duration::from_millis(250);
/// So many addresses at once, to bound the descriptors that one session can take.
const MAX_AT_ONCE: usize = 4;

type Attempt<'a> = Pin<Box<dyn Future<Output = Result<Stream, AddressFailed>> + Send + 'a>>;

/// Connects to the first of these that answers.
pub(super) async fn race(
    endpoints: &[Endpoint],
    patience: Option<Duration>,
    says_first: bool,
) -> Result<Stream, ConnectError> {
    if let [only] = endpoints {
        return dial(only, patience, says_first)
            .await
            .map_err(|failed| ConnectError::AllFailed(vec![failed]));
    }
    let mut waiting = endpoints.iter();
    let mut running: Vec<Attempt<'_>> = Vec::new();
    let mut failures = Vec::new();
    let mut head_start = Box::pin(sleep(Duration::ZERO));
    std::future::poll_fn(move |cx| {
        loop {
            let due = running.is_empty() || head_start.as_mut().poll(cx).is_ready();
            if due && running.len() < MAX_AT_ONCE {
                if let Some(endpoint) = waiting.next() {
                    running.push(Box::pin(dial(endpoint, patience, says_first)));
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
                    failures.push(failed);
                    false
                }
            });
            if let Some(stream) = connected {
                return Poll::Ready(Ok(stream));
            }
            if running.len() == before {
                return Poll::Pending;
            }
            // An address that failed makes room for the next at once.
            head_start = Box::pin(sleep(Duration::ZERO));
        }
    })
    .await
}

/// Connects to one address.
async fn dial(
    endpoint: &Endpoint,
    patience: Option<Duration>,
    says_first: bool,
) -> Result<Stream, AddressFailed> {
    let failed = |error: Errno| AddressFailed { address: endpoint.clone(), error };
    let ours = |error: std::io::Error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    let family = endpoint.family();
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(failed)?;
    if matches!(family, AddressFamily::INET | AddressFamily::INET6) {
        // Without them it is only less well; a socket that refuses them is still a socket.
        let _ = prepare_fresh(&socket);
        if says_first {
            // The handshake's last acknowledgement then travels with the client's bytes instead of before them.
            let _ = sockopt::set_tcp_quickack(&socket, false);
        }
    }
    let address = endpoint.to_any();
    match connect(&socket, &address) {
        Ok(()) => return Stream::new(socket, false).map_err(ours),
        Err(Errno::INPROGRESS | Errno::INTR) => {}
        Err(error) => return Err(failed(error)),
    }
    // On this very machine the handshake is over by the time the call returns, and asking again tells.
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::ISCONN) => return Stream::new(socket, false).map_err(ours),
        Err(Errno::ALREADY | Errno::INPROGRESS | Errno::INTR) => {}
        Err(error) => return Err(failed(error)),
    }
    match patience {
        None => established(socket).await.map_err(ours),
        Some(patience) => match timeout(patience, established(socket)).await {
            Ok(stream) => stream.map_err(ours),
            Err(_) => Err(failed(Errno::TIMEDOUT)),
        },
    }
}

/// Waits for a connection that is on its way.
async fn established(socket: OwnedFd) -> std::io::Result<Stream> {
    let fd = watch(socket, Interest::READABLE | Interest::WRITABLE)?;
    fd.writable().await?.retain_ready();
    sockopt::socket_error(fd.get_ref())??;
    Ok(Stream::from_connected(fd))
}
