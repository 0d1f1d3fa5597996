//! The accept loop: several clients for each wake-up, without ending or spinning on errors.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use dormouse_log::{Level, Log, Recurring};
use dormouse_relay::{StreamKind, socket_reuse};
use dormouse_sys::closer;
use dormouse_sys::event_loop::register;
use dormouse_sys::pass_rights::pass_rights;
use dormouse_sys::socket_fd::SocketFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, accept_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, timeout};

use crate::admission::{Admission, Decision};
use crate::client::{Client, Peer};
use crate::listener::AcceptSocket;
use crate::session::{self, ServiceContext};
use dormouse_connect::options;

/// The number of clients after which the loop yields to other tasks.
const BATCH: usize = 64;
/// The pause after a system limit, which another process may lift without notice.
const PAUSE: Duration = Duration::from_millis(500);

/// The time between two looks at whether descriptors are closed.
const CLOSE_INTERVAL: Duration = Duration::from_millis(10);

/// Accepts clients and starts their sessions, for as long as the socket listens.
///
/// # Errors
/// When the listener is unusable, for example after a shutdown(2).
pub async fn accept_all(
    AcceptSocket { socket, family, path, shared }: AcceptSocket,
    admission: Arc<Admission>,
    context: Arc<ServiceContext>,
) -> io::Result<()> {
    let kind = if family == AddressFamily::UNIX { StreamKind::Unix } else { StreamKind::Other };
    // Clients that connected before the listener got its options did not inherit them.
    let mut options_inherited = false;
    // A kernel that refuses descriptors keeps them away from the clients of a server that cannot get them.
    let carries_fds = kind == StreamKind::Unix && context.service.reaches_unix();
    // The option stays with the socket. A socket that the service manager passed serves others after dormouse, which may
    // expect descriptors, so only its connections get the option (`dormouse_relay::Relay`).
    let refuses_fds =
        kind == StreamKind::Unix && !shared && pass_rights(&socket, carries_fds).is_ok() && !carries_fds;
    let socket = register(socket, Interest::READABLE)?;
    loop {
        let mut ready = socket.readable().await?;
        let mut drained = false;
        for _ in 0..BATCH {
            if !context.service.has_capacity(admission.open()) {
                tokio::select! {
                    () = context.service.capacity_changed() => {}
                    () = admission.session_ended() => {}
                }
                continue;
            }
            let decision = admission.decide();
            if decision == Decision::Wait {
                admission.session_ended().await;
                continue;
            }
            if kind == StreamKind::Unix && !refuses_fds && closer::is_full() {
                await_closer(&context.stats.log).await;
                continue;
            }
            match accept(&socket, &context) {
                Accepted::Client(socket) if decision == Decision::Accept => {
                    if !options_inherited {
                        // The options only improve performance.
                        let _ = options::prepare(&socket, family);
                    }
                    let peer = path.as_ref().filter(|_| context.needs_client());
                    let peer = peer.map(|path| Box::new(Peer::of_unix_path(&socket, path)));
                    let client = Client::new(socket, kind);
                    let session = session::start(Arc::clone(&context), client, peer, admission.admit());
                    admission.track_task(|| session.abort_handle());
                }
                Accepted::Client(socket) => {
                    drop(Client::new(socket, kind));
                    context.stats.refuse();
                }
                Accepted::ClientFailed => {}
                Accepted::Empty => {
                    ready.clear_ready();
                    drained = true;
                    options_inherited = true;
                    break;
                }
                Accepted::Paused => {
                    let _ = timeout(PAUSE, admission.session_ended()).await;
                }
                Accepted::ListenerFailed(error) => return Err(error.into()),
            }
        }
        if !drained {
            tokio::task::yield_now().await;
        }
    }
}

/// The result of one accept(2).
#[derive(Debug)]
enum Accepted {
    Client(OwnedFd),
    /// The client left before it was accepted, or its network failed: accept the next one (accept(2), "Error handling").
    ClientFailed,
    /// The backlog is empty.
    Empty,
    /// An immediate retry would fail too: a system limit or a security policy.
    Paused,
    /// The listener is unusable.
    ListenerFailed(Errno),
}

fn accept(socket: &AsyncFd<SocketFd>, context: &ServiceContext) -> Accepted {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    match socket_reuse::open_or_make_room(|| accept_with(socket.get_ref(), flags)) {
        Ok(client) => Accepted::Client(client),
        Err(error) => classify(error, &context.stats.log),
    }
}

/// Waits until descriptors that clients passed are closed, because each further client could bring more of them. Reports it
/// after [`PAUSE`].
async fn await_closer(log: &Log) {
    let closed = async {
        while closer::is_full() {
            sleep(CLOSE_INTERVAL).await;
        }
    };
    if timeout(PAUSE, closed).await.is_ok() {
        return;
    }
    log.recurring(
        Recurring::AcceptPaused,
        Level::Warning,
        format_args!(
            "Cannot accept clients: {} descriptors that clients passed wait to be closed, for example sockets that \
             linger. Linux 6.16 refuses descriptors where no server gets them.",
            closer::waiting(),
        ),
    );
}

fn classify(error: Errno, log: &Log) -> Accepted {
    match error {
        Errno::AGAIN => Accepted::Empty,
        Errno::INTR | Errno::CONNABORTED => Accepted::ClientFailed,
        Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::FAULT => Accepted::ListenerFailed(error),
        Errno::NETDOWN
        | Errno::PROTO
        | Errno::NOPROTOOPT
        | Errno::HOSTDOWN
        | Errno::NONET
        | Errno::HOSTUNREACH
        | Errno::NETUNREACH
        | Errno::TIMEDOUT
        | Errno::CONNRESET => {
            log.recurring(
                Recurring::AcceptFailed,
                Level::Notice,
                format_args!("Failed to accept a client: {}.", io::Error::from(error)),
            );
            Accepted::ClientFailed
        }
        _ => {
            let remedy = match error {
                Errno::MFILE => {
                    " Raise LimitNOFILE=, or lower the session limit (maxconn; --connections-max= of dormouse proxy)."
                }
                Errno::NFILE => " Raise the system's limit: sysctl fs.file-max.",
                Errno::NOBUFS | Errno::NOMEM => " The system is out of memory.",
                // A security module refuses before a client is accepted.
                Errno::PERM | Errno::ACCESS => " The system's security policy forbids it; see its audit log.",
                _ => "",
            };
            let cause = io::Error::from(error);
            log.recurring(
                Recurring::AcceptPaused,
                Level::Warning,
                format_args!(
                    "Cannot accept clients: {cause}; retrying in {} ms or when a session ends.{remedy}",
                    PAUSE.as_millis()
                ),
            );
            Accepted::Paused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_one_client_continue_without_a_pause() {
        let log = Log::new(Some(Level::Err));
        for number in 1..134 {
            let error = Errno::from_raw_os_error(number);
            let continues = matches!(classify(error, &log), Accepted::ClientFailed);
            let of_a_client = [
                Errno::INTR,
                Errno::CONNABORTED,
                Errno::CONNRESET,
                Errno::TIMEDOUT,
                Errno::NETDOWN,
                Errno::PROTO,
                Errno::NOPROTOOPT,
                Errno::HOSTDOWN,
                Errno::NONET,
                Errno::HOSTUNREACH,
                Errno::NETUNREACH,
            ];
            assert_eq!(continues, of_a_client.contains(&error), "{error}");
        }
        for lasting in [Errno::PERM, Errno::ACCESS, Errno::OPNOTSUPP, Errno::MFILE, Errno::IO] {
            assert!(matches!(classify(lasting, &log), Accepted::Paused), "{lasting}");
        }
    }
}
