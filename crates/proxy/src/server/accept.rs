//! Accepting: several clients a wake-up, never dying, never spinning.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use dormouse_log::{Level, Log, Recurring};
use dormouse_relay::{StreamKind, socket_reuse};
use dormouse_sys::event_loop::register;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, accept_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use crate::admission::{Admission, Room};
use crate::client::{Client, Peer};
use crate::connect::options;
use crate::listener::Waiting;
use crate::session::{self, Shared};

/// After so many clients the others have their turn.
const BATCH: usize = 64;
/// A system-wide limit may be lifted by somebody else's doing, of which nobody tells us.
const PAUSE: Duration = Duration::from_millis(500);

/// Accepts clients and starts their sessions, for as long as the socket listens.
///
/// # Errors
/// When the listener cannot be used any more, for example because somebody shut it down.
pub async fn accept_all(
    Waiting { socket, family, path }: Waiting,
    admission: Arc<Admission>,
    shared: Arc<Shared>,
) -> io::Result<()> {
    let kind = if family == AddressFamily::UNIX { StreamKind::Unix } else { StreamKind::Other };
    // Those that came before we were there inherited nothing from the listener.
    let mut inherits = false;
    let socket = register(socket, Interest::READABLE)?;
    loop {
        let mut ready = socket.readable().await?;
        let mut drained = false;
        for _ in 0..BATCH {
            if !shared.service.has_capacity(admission.open()) {
                tokio::select! {
                    () = shared.service.capacity_changed() => {}
                    () = admission.session_ended() => {}
                }
                continue;
            }
            let room = admission.room();
            if room == Room::Wait {
                admission.session_ended().await;
                continue;
            }
            match accept(&socket, &shared) {
                Accepted::Client(socket) if room == Room::Free => {
                    if !inherits {
                        // Without the options it is only less well.
                        let _ = options::prepare(&socket, family);
                    }
                    let peer = path.as_ref().filter(|_| shared.asks_who());
                    let peer = peer.map(|path| Box::new(Peer::at(&socket, path)));
                    let client = Client { socket, kind };
                    let session = session::start(Arc::clone(&shared), client, peer, admission.enter());
                    admission.register(|| session.abort_handle());
                }
                Accepted::Client(_) => shared.ledger.refuse(),
                Accepted::Gone => {}
                Accepted::Nobody => {
                    ready.clear_ready();
                    drained = true;
                    inherits = true;
                    break;
                }
                Accepted::Paused => {
                    let _ = timeout(PAUSE, admission.session_ended()).await;
                }
                Accepted::Dead(error) => return Err(error.into()),
            }
        }
        if !drained {
            tokio::task::yield_now().await;
        }
    }
}

/// What came of accepting once.
#[derive(Debug)]
enum Accepted {
    Client(OwnedFd),
    /// The client left before it was accepted, or its network failed: the next one, please (accept(2), "Error
    /// handling").
    Gone,
    Nobody,
    /// It would come to the same at once: a limit of the system, or somebody forbids it.
    Paused,
    Dead(Errno),
}

fn accept(socket: &AsyncFd<OwnedFd>, shared: &Shared) -> Accepted {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    match socket_reuse::open_or_make_room(|| accept_with(socket.get_ref(), flags)) {
        Ok(client) => Accepted::Client(client),
        Err(error) => failed(error, &shared.ledger.log),
    }
}

fn failed(error: Errno, log: &Log) -> Accepted {
    match error {
        Errno::AGAIN => Accepted::Nobody,
        Errno::INTR | Errno::CONNABORTED => Accepted::Gone,
        Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::FAULT => Accepted::Dead(error),
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
                format_args!("A client was lost while it was accepted: {}.", io::Error::from(error)),
            );
            Accepted::Gone
        }
        _ => {
            let remedy = match error {
                Errno::MFILE => {
                    "Raise LimitNOFILE=, or let fewer in (maxconn; --connections-max= of dormouse proxy)."
                }
                Errno::NFILE => "Raise the system's limit: sysctl fs.file-max.",
                Errno::NOBUFS | Errno::NOMEM => "The system has no memory for it.",
                // A security module refuses before there is a client.
                Errno::PERM | Errno::ACCESS => {
                    "The system's security policy forbids it; its audit log tells why."
                }
                _ => "It is tried again.",
            };
            let cause = io::Error::from(error);
            log.recurring(
                Recurring::AcceptPaused,
                Level::Warning,
                format_args!("Accepting pauses for a while, or until a session ends: {cause}. {remedy}"),
            );
            Accepted::Paused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_one_client_lost_is_followed_by_the_next_at_once() {
        let log = Log::new(Some(Level::Err));
        for number in 1..134 {
            let error = Errno::from_raw_os_error(number);
            let gone = matches!(failed(error, &log), Accepted::Gone);
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
            assert_eq!(gone, of_a_client.contains(&error), "{error}");
        }
        for lasting in [Errno::PERM, Errno::ACCESS, Errno::OPNOTSUPP, Errno::MFILE, Errno::IO] {
            assert!(matches!(failed(lasting, &log), Accepted::Paused), "{lasting}");
        }
    }
}
