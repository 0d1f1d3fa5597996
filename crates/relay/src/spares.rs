//! Sockets of connections that are over, for the next ones.
//!
//! A socket can be told to forget its connection, and then be connected anew (`connect()` to `AF_UNSPEC`, connect(2)). It
//! keeps its options, so that a session spares the calls that would make it, set them and close it: a tenth of what a
//! short session costs within a machine. To the server it looks the same: the kernel does for it what it does when a
//! socket is closed (for a reset: with `SO_LINGER` of zero, socket(7)).
//!
//! Each thread keeps its own, only a few, and none for long.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::time::Duration;

use dormouse_sys::send_queue::unacknowledged;
use rustix::io::Errno;
use rustix::net::{AddressFamily, connect_unspec};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::stream::reset_on_close;

/// Enough for the sessions that begin and end in one turn of the event loop.
const MAX_SPARE: usize = 32;
/// Whatever nobody needed for so long is closed.
const PERIOD: Duration = Duration::from_secs(1);

thread_local! {
    static SPARES: RefCell<Spares> = const { RefCell::new(Spares { sockets: Vec::new(), unneeded: 0 }) };
}

/// There are some again.
static FILLED: Notify = Notify::const_new();

#[derive(Debug)]
struct Spares {
    /// The last one is the next to be lent.
    sockets: Vec<(AddressFamily, OwnedFd)>,
    /// So many of the first ones have been here for the whole period.
    unneeded: usize,
}

/// A socket that is not connected, with the options that its last user gave it.
pub fn lend(family: AddressFamily) -> Option<OwnedFd> {
    SPARES.with_borrow_mut(|spares| {
        let at = spares.sockets.iter().rposition(|(of, _)| *of == family)?;
        spares.unneeded = spares.unneeded.min(at);
        Some(spares.sockets.remove(at).1)
    })
}

/// Opens a descriptor. Where there are none left, the spare sockets make room.
///
/// # Errors
/// Those of `open`.
pub fn or_make_room<T>(mut open: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    match open() {
        Err(Errno::MFILE | Errno::NFILE) if close(usize::MAX) => open(),
        done => done,
    }
}

/// Closes what is not needed any more. Never ends.
pub async fn shed() {
    loop {
        FILLED.notified().await;
        while SPARES.with_borrow(|spares| !spares.sockets.is_empty()) {
            sleep(PERIOD).await;
            close(SPARES.with_borrow(|spares| spares.unneeded));
            SPARES.with_borrow_mut(|spares| spares.unneeded = spares.sockets.len());
        }
    }
}

/// Closes so many of those that have been here the longest; whether there were any.
fn close(count: usize) -> bool {
    SPARES.with_borrow_mut(|spares| {
        let count = count.min(spares.sockets.len());
        spares.unneeded = spares.unneeded.saturating_sub(count);
        spares.sockets.drain(..count).count() > 0
    })
}

/// How a connection ends that has nothing more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parting {
    /// Both sides have told each other the end of their streams.
    Orderly,
    /// The peer sees a reset.
    Reset,
}

/// Ends a connection, and keeps its socket where that can be done at once. Closes it otherwise.
pub(crate) fn part(socket: OwnedFd, family: AddressFamily, parting: Parting) {
    SPARES.with_borrow_mut(|spares| {
        // What a closed socket has left is delivered in the background, but not what a forgotten one has.
        let delivered = || matches!(unacknowledged(&socket), Ok(0));
        let kept = spares.sockets.len() < MAX_SPARE
            && (parting == Parting::Reset || delivered())
            && connect_unspec(&socket).is_ok();
        match parting {
            _ if kept => {
                if spares.sockets.is_empty() {
                    FILLED.notify_one();
                }
                spares.sockets.push((family, socket));
            }
            Parting::Reset => reset_on_close(&socket),
            Parting::Orderly => {}
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::time::Instant;

    const TCP: AddressFamily = AddressFamily::INET;

    /// A connection: our end, and the server's.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let far = listener.accept().unwrap().0;
        far.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        (near, far)
    }

    /// Waits until the peer has all that was written, and its end.
    fn arrived(near: &TcpStream) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while unacknowledged(near).unwrap() > 0 {
            assert!(Instant::now() < deadline, "it does not arrive");
            std::thread::yield_now();
        }
    }

    /// Both have told each other the end.
    fn ended() -> (TcpStream, TcpStream) {
        let (mut near, mut far) = pair();
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
        far.shutdown(Shutdown::Write).unwrap();
        assert_eq!(near.read(&mut [0]).unwrap(), 0);
        arrived(&near);
        (near, far)
    }

    fn spares() -> usize {
        SPARES.with_borrow(|spares| spares.sockets.len())
    }

    #[test]
    fn one_socket_has_many_connections_each_as_good_as_the_first() {
        let (first, _far) = ended();
        first.set_nodelay(true).unwrap();
        let number = first.as_raw_fd();
        part(first.into(), TCP, Parting::Orderly);
        for round in 0..100_u32 {
            let socket = lend(TCP).unwrap();
            assert_eq!(socket.as_raw_fd(), number);
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            rustix::net::connect(&socket, &address).unwrap();
            let mut near = TcpStream::from(socket);
            let (mut far, _) = listener.accept().unwrap();
            assert!(near.nodelay().unwrap());
            assert!(near.take_error().unwrap().is_none());
            near.write_all(&round.to_be_bytes()).unwrap();
            let mut heard = [0; 4];
            far.read_exact(&mut heard).unwrap();
            assert_eq!(heard, round.to_be_bytes());
            let parting = if round % 2 == 0 { Parting::Reset } else { Parting::Orderly };
            if parting == Parting::Orderly {
                near.shutdown(Shutdown::Write).unwrap();
                assert_eq!(far.read(&mut heard).unwrap(), 0);
                drop(far);
                assert_eq!(near.read(&mut heard).unwrap(), 0);
                arrived(&near);
                part(near.into(), TCP, parting);
            } else {
                part(near.into(), TCP, parting);
                assert_eq!(far.read(&mut heard).unwrap_err().kind(), ErrorKind::ConnectionReset);
            }
        }
        assert!(lend(TCP).is_some());
        assert!(lend(TCP).is_none());
    }

    #[test]
    fn what_has_not_arrived_still_does() {
        let (mut near, mut far) = pair();
        near.set_nonblocking(true).unwrap();
        let (mut sent, chunk) = (0, vec![7; 1 << 16]);
        while let Ok(more) = near.write(&chunk) {
            sent += more;
        }
        near.shutdown(Shutdown::Write).unwrap();
        part(near.into(), TCP, Parting::Orderly);
        assert_eq!(spares(), 0);
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).unwrap();
        assert_eq!(heard.len(), sent);
    }

    #[test]
    fn only_so_many_are_kept_and_the_rest_is_reset_all_the_same() {
        let mut far = Vec::new();
        for _ in 0..MAX_SPARE + 3 {
            let (near, peer) = pair();
            part(near.into(), TCP, Parting::Reset);
            far.push(peer);
        }
        assert_eq!(spares(), MAX_SPARE);
        for mut peer in far {
            assert_eq!(peer.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    }

    #[test]
    fn each_family_has_its_own_and_whoever_needs_descriptors_gets_them() {
        part(pair().0.into(), TCP, Parting::Reset);
        assert!(lend(AddressFamily::INET6).is_none());
        let mut tried = 0;
        let never = || {
            tried += 1;
            Err::<(), _>(Errno::MFILE)
        };
        assert_eq!(or_make_room(never), Err(Errno::MFILE));
        assert_eq!((tried, spares()), (2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_needs_is_closed_and_what_is_used_stays() {
        let shedding = tokio::spawn(shed());
        for _ in 0..3 {
            part(pair().0.into(), TCP, Parting::Reset);
        }
        // One is used all the time, the others never.
        for _ in 0..10 {
            let socket = lend(TCP).unwrap();
            SPARES.with_borrow_mut(|spares| spares.sockets.push((TCP, socket)));
            sleep(PERIOD / 2).await;
        }
        assert_eq!(spares(), 1);
        sleep(PERIOD * 3).await;
        assert_eq!(spares(), 0);
        shedding.abort();
    }
}
