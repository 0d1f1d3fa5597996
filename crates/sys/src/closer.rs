//! Closes descriptors that others have chosen, in threads of its own.
//!
//! A close may wait for as long as another party likes: a socket with `SO_LINGER` and unsent bytes (socket(7)), or a file of
//! a FUSE server. The close of a UNIX socket closes the descriptors in the messages that nobody has read, and the close of a
//! UNIX listener those of the clients in its queue.
//!
//! Threads and the queue are bounded. When all threads wait, descriptors stay in the queue, and nothing is ever closed by the
//! caller. Callers take no further descriptors when [`is_full`] says so, so that the queue grows by what is open already and
//! no more.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// The number of closes that may wait at a time.
const MAX_THREADS: usize = 8;
/// The number of descriptors in the queue and in the threads from which on no further ones are taken.
const FULL: usize = 256;
/// A thread without work for this time ends.
const IDLE_TIME: Duration = Duration::from_secs(10);

static CLOSER: Mutex<Closer> = Mutex::new(Closer { queue: VecDeque::new(), threads: 0, idle: 0 });
static ARRIVED: Condvar = Condvar::new();
/// The number of descriptors that were given to the closer and are not closed.
static WAITING: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
struct Closer {
    queue: VecDeque<Work>,
    threads: usize,
    /// The number of threads that wait for work.
    idle: usize,
}

/// Descriptors to close.
#[derive(Debug)]
struct Work {
    fds: Vec<OwnedFd>,
    /// Nobody else got them, so their close need not deliver anything.
    undelivered: bool,
}

/// Closes descriptors in another thread.
pub fn close(fds: Vec<OwnedFd>) {
    submit(Work { fds, undelivered: false });
}

/// Closes descriptors that were passed to this process and that nobody got, in another thread. Sockets among them do not
/// linger.
pub fn discard(fds: Vec<OwnedFd>) {
    submit(Work { fds, undelivered: true });
}

/// Returns the number of descriptors that wait to be closed.
pub fn waiting() -> usize {
    WAITING.load(Ordering::Acquire)
}

/// Returns whether so many descriptors wait to be closed that no further ones should be taken from clients.
pub fn is_full() -> bool {
    waiting() >= FULL
}

fn submit(work: Work) {
    if work.fds.is_empty() {
        return;
    }
    WAITING.fetch_add(work.fds.len(), Ordering::AcqRel);
    let mut closer = lock();
    closer.queue.push_back(work);
    if closer.queue.len() <= closer.idle {
        ARRIVED.notify_one();
    } else if closer.threads < MAX_THREADS {
        closer.threads += 1;
        drop(closer);
        if Builder::new().name("close".to_owned()).spawn(close_all).is_err() {
            // The system refuses a thread now. The work stays in the queue for another thread, or for the next attempt.
            lock().threads -= 1;
        }
    }
}

/// Closes what is in the queue, until there is nothing for a while.
fn close_all() {
    while let Some(Work { fds, undelivered }) = next() {
        for fd in fds {
            if undelivered {
                // Not in the thread of the caller: another process can hold the lock of the socket.
                let _ = set_socket_linger(&fd, None);
            }
            drop(fd);
            WAITING.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn next() -> Option<Work> {
    let mut closer = lock();
    loop {
        if let Some(work) = closer.queue.pop_front() {
            return Some(work);
        }
        closer.idle += 1;
        let (woken, waited) = ARRIVED.wait_timeout(closer, IDLE_TIME).unwrap_or_else(PoisonError::into_inner);
        closer = woken;
        closer.idle -= 1;
        if waited.timed_out() && closer.queue.is_empty() {
            closer.threads -= 1;
            return None;
        }
    }
}

fn lock() -> MutexGuard<'static, Closer> {
    CLOSER.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_lingering::{Lingering, SOON};
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + SOON;
        while !holds() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// One test, because the closer is one for the process.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no SO_LINGER")]
    fn a_close_that_waits_delays_neither_the_caller_nor_other_closes() {
        // The peers read nothing, so each close waits for 600 s; one thread stays for the others.
        let slow: Vec<Lingering> = (1..MAX_THREADS).map(|_| Lingering::new()).collect();
        let kept: Vec<_> = slow
            .into_iter()
            .map(|Lingering { socket, peer }| {
                close(vec![socket]);
                peer
            })
            .collect();
        let (near, mut far) = UnixStream::pair().unwrap();
        far.set_read_timeout(Some(SOON)).unwrap();
        close(vec![near.into()]);
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
        // What nobody got does not linger.
        let Lingering { socket, peer: _peer } = Lingering::new();
        discard(vec![socket]);
        until("the closed descriptors are counted", || waiting() == MAX_THREADS - 1);
        assert!(!is_full());
        // All threads wait now. Descriptors stay, and the caller sees it.
        let Lingering { socket, peer: last } = Lingering::new();
        close(vec![socket]);
        for _ in 0..FULL {
            close(vec![UnixStream::pair().unwrap().0.into()]);
        }
        assert!(is_full() && lock().threads == MAX_THREADS);
        // The end of the waits ends all closes.
        drop((kept, last));
        until("all are closed", || waiting() == 0);
    }

    #[test]
    fn nothing_is_no_work() {
        close(Vec::new());
        discard(Vec::new());
    }
}
