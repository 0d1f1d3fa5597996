//! Reuse of sockets: a socket whose connection has ended serves the next one.
//!
//! `connect()` to `AF_UNSPEC` dissolves a socket's connection, after which the socket can connect again (connect(2)).
//! The socket keeps its options, which saves the system calls to create, configure and close it: a tenth of the cost
//! of a short session within a machine. The server sees the same as after a close, because the kernel does the same
//! work (for a reset: with `SO_LINGER` of zero, socket(7)).
//!
//! Each thread keeps its own idle sockets, few and for a short time.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::time::Duration;

use dormouse_sys::send_queue::unacknowledged;
use rustix::io::Errno;
use rustix::net::{AddressFamily, connect_unspec};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::close::{CloseMode, reset_on_close};

/// Enough for the sessions that begin and end in one turn of the event loop.
const MAX_IDLE: usize = 32;
/// A socket that is idle for a whole period is closed.
const IDLE_PERIOD: Duration = Duration::from_secs(1);

thread_local! {
    static IDLE: RefCell<IdleSockets> = const { RefCell::new(IdleSockets { sockets: Vec::new(), unused: 0 }) };
}

/// Notified when the first idle socket arrives.
static FILLED: Notify = Notify::const_new();

#[derive(Debug)]
struct IdleSockets {
    /// The last socket is the next to be taken.
    sockets: Vec<(AddressFamily, OwnedFd)>,
    /// The number of sockets, from the first on, that have been idle for the whole period.
    unused: usize,
}

/// Returns an unconnected socket with the options of its last user, if one is idle.
pub fn take(family: AddressFamily) -> Option<OwnedFd> {
    IDLE.with_borrow_mut(|idle| {
        let at = idle.sockets.iter().rposition(|(of, _)| *of == family)?;
        idle.unused = idle.unused.min(at);
        Some(idle.sockets.remove(at).1)
    })
}

/// Opens a descriptor. If the limit on descriptors is reached, closes all idle sockets and tries again.
///
/// # Errors
/// The errors of `open`.
pub fn open_or_make_room<T>(mut open: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    match open() {
        Err(Errno::MFILE | Errno::NFILE) if close_oldest(usize::MAX) => open(),
        done => done,
    }
}

/// Closes sockets that stay idle. Never returns.
pub async fn close_unused() {
    loop {
        FILLED.notified().await;
        while IDLE.with_borrow(|idle| !idle.sockets.is_empty()) {
            sleep(IDLE_PERIOD).await;
            close_oldest(IDLE.with_borrow(|idle| idle.unused));
            IDLE.with_borrow_mut(|idle| idle.unused = idle.sockets.len());
        }
    }
}

/// Closes the `count` sockets that have been idle the longest. Returns whether any was closed.
fn close_oldest(count: usize) -> bool {
    IDLE.with_borrow_mut(|idle| {
        let count = count.min(idle.sockets.len());
        idle.unused = idle.unused.saturating_sub(count);
        idle.sockets.drain(..count).count() > 0
    })
}

/// Ends a connection, and keeps its socket if the connection can be dissolved at once. Closes the socket otherwise.
pub(crate) fn release(socket: OwnedFd, family: AddressFamily, mode: CloseMode) {
    IDLE.with_borrow_mut(|idle| {
        // The kernel still delivers the queue of a closed socket, but drops the queue of a dissolved connection.
        let delivered = || matches!(unacknowledged(&socket), Ok(0));
        let kept = idle.sockets.len() < MAX_IDLE
            && (mode == CloseMode::Reset || delivered())
            && connect_unspec(&socket).is_ok();
        match mode {
            _ if kept => {
                if idle.sockets.is_empty() {
                    FILLED.notify_one();
                }
                idle.sockets.push((family, socket));
            }
            CloseMode::Reset => reset_on_close(&socket),
            CloseMode::Orderly => {}
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

    /// Returns a connection: the near end, and the server's end.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let far = listener.accept().unwrap().0;
        far.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        (near, far)
    }

    /// Waits until the peer has acknowledged all bytes and the end of stream.
    fn wait_for_delivery(near: &TcpStream) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while unacknowledged(near).unwrap() > 0 {
            assert!(Instant::now() < deadline, "the peer acknowledges nothing");
            std::thread::yield_now();
        }
    }

    /// Returns a connection over which both ends of stream have been exchanged.
    fn ended() -> (TcpStream, TcpStream) {
        let (mut near, mut far) = pair();
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
        far.shutdown(Shutdown::Write).unwrap();
        assert_eq!(near.read(&mut [0]).unwrap(), 0);
        wait_for_delivery(&near);
        (near, far)
    }

    fn idle_count() -> usize {
        IDLE.with_borrow(|idle| idle.sockets.len())
    }

    #[test]
    fn one_socket_serves_many_connections() {
        let (first, _far) = ended();
        first.set_nodelay(true).unwrap();
        let number = first.as_raw_fd();
        release(first.into(), TCP, CloseMode::Orderly);
        for round in 0..100_u32 {
            let socket = take(TCP).unwrap();
            assert_eq!(socket.as_raw_fd(), number);
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            rustix::net::connect(&socket, &address).unwrap();
            let mut near = TcpStream::from(socket);
            let (mut far, _) = listener.accept().unwrap();
            assert!(near.nodelay().unwrap());
            assert!(near.take_error().unwrap().is_none());
            near.write_all(&round.to_be_bytes()).unwrap();
            let mut received = [0; 4];
            far.read_exact(&mut received).unwrap();
            assert_eq!(received, round.to_be_bytes());
            let mode = if round % 2 == 0 { CloseMode::Reset } else { CloseMode::Orderly };
            if mode == CloseMode::Orderly {
                near.shutdown(Shutdown::Write).unwrap();
                assert_eq!(far.read(&mut received).unwrap(), 0);
                drop(far);
                assert_eq!(near.read(&mut received).unwrap(), 0);
                wait_for_delivery(&near);
                release(near.into(), TCP, mode);
            } else {
                release(near.into(), TCP, mode);
                assert_eq!(far.read(&mut received).unwrap_err().kind(), ErrorKind::ConnectionReset);
            }
        }
        assert!(take(TCP).is_some());
        assert!(take(TCP).is_none());
    }

    #[test]
    fn bytes_in_the_send_queue_are_still_delivered() {
        let (mut near, mut far) = pair();
        near.set_nonblocking(true).unwrap();
        let (mut sent, chunk) = (0, vec![7; 1 << 16]);
        while let Ok(more) = near.write(&chunk) {
            sent += more;
        }
        near.shutdown(Shutdown::Write).unwrap();
        release(near.into(), TCP, CloseMode::Orderly);
        assert_eq!(idle_count(), 0);
        let mut received = Vec::new();
        far.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), sent);
    }

    #[test]
    fn sockets_over_the_limit_are_closed_by_a_reset() {
        let mut far = Vec::new();
        for _ in 0..MAX_IDLE + 3 {
            let (near, peer) = pair();
            release(near.into(), TCP, CloseMode::Reset);
            far.push(peer);
        }
        assert_eq!(idle_count(), MAX_IDLE);
        for mut peer in far {
            assert_eq!(peer.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    }

    #[test]
    fn idle_sockets_belong_to_one_family_and_make_room_for_descriptors() {
        release(pair().0.into(), TCP, CloseMode::Reset);
        assert!(take(AddressFamily::INET6).is_none());
        let mut tried = 0;
        let always_fails = || {
            tried += 1;
            Err::<(), _>(Errno::MFILE)
        };
        assert_eq!(open_or_make_room(always_fails), Err(Errno::MFILE));
        assert_eq!((tried, idle_count()), (2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn unused_sockets_are_closed_and_used_ones_stay() {
        let closing = tokio::spawn(close_unused());
        for _ in 0..3 {
            release(pair().0.into(), TCP, CloseMode::Reset);
        }
        // One socket is used all the time, the others never.
        for _ in 0..10 {
            let socket = take(TCP).unwrap();
            IDLE.with_borrow_mut(|idle| idle.sockets.push((TCP, socket)));
            sleep(IDLE_PERIOD / 2).await;
        }
        assert_eq!(idle_count(), 1);
        sleep(IDLE_PERIOD * 3).await;
        assert_eq!(idle_count(), 0);
        closing.abort();
    }
}
