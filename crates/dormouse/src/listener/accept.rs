//! Accepting: several clients a wake-up, never dying, never spinning.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use dormouse_relay::Kind;
use dormouse_sys::watch::watch;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, accept_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use super::Waiting;
use crate::admission::{Admission, Room};
use crate::connect::{Peer, options};
use crate::ledger::log::{Level, Recurring};
use crate::session::{self, Client, Shared};

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
    let kind = if family == AddressFamily::UNIX { Kind::Unix } else { Kind::Plain };
    // Those that came before we were there inherited nothing from the listener.
    let mut inherits = false;
    let socket = watch(socket, Interest::READABLE)?;
    loop {
        let mut ready = socket.readable().await?;
        let mut drained = false;
        for _ in 0..BATCH {
            if !shared.service.has_room(admission.open()) {
                tokio::select! {
                    () = shared.service.room_changed() => {}
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
                Accepted::NoRoom => {
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
enum Accepted {
    Client(OwnedFd),
    /// The client left before it was accepted, or its network failed: the next one, please (accept(2), "Error
    /// handling").
    Gone,
    Nobody,
    /// A limit of the system.
    NoRoom,
    Dead(Errno),
}

fn accept(socket: &AsyncFd<OwnedFd>, shared: &Shared) -> Accepted {
    let log = &shared.ledger.log;
    match accept_with(socket.get_ref(), SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
        Ok(client) => Accepted::Client(client),
        Err(Errno::AGAIN) => Accepted::Nobody,
        Err(Errno::INTR | Errno::CONNABORTED) => Accepted::Gone,
        Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
            log.recurring(
                Recurring::AcceptPaused,
                Level::Warning,
                format_args!("Accepting pauses until a session ends: {}.", io::Error::from(error)),
            );
            Accepted::NoRoom
        }
        Err(error @ (Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::FAULT)) => Accepted::Dead(error),
        Err(error) => {
            log.recurring(
                Recurring::AcceptFailed,
                Level::Notice,
                format_args!("A client was lost while it was accepted: {}.", io::Error::from(error)),
            );
            Accepted::Gone
        }
    }
}
