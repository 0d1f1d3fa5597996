//! The last socket that was refused. A start that waits for it to go does not search all processes at each try.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use dormouse_core::sock_diag::InetSocket;

/// The last socket that was refused.
#[derive(Debug, Default)]
pub(super) struct RefusedSocket(Mutex<Option<Entry>>);

#[derive(Debug, Clone, Copy)]
struct Entry {
    cookie: u64,
    /// When it was refused first and last.
    first: Instant,
    last: Instant,
}

impl RefusedSocket {
    /// Returns whether one of these sockets was refused a short time ago. The time grows: a verdict on a process that
    /// has just been created may be wrong, and is soon repeated.
    pub(super) fn is_among(&self, sockets: &[InetSocket]) -> bool {
        let entry = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entry.is_some_and(|Entry { cookie, first, last }| {
            last.elapsed() < last.duration_since(first) / 2
                && sockets.iter().any(|socket| socket.cookie == cookie)
        })
    }

    /// Records that a socket was refused.
    pub(super) fn record(&self, cookie: u64) {
        let now = Instant::now();
        let mut entry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = entry.filter(|entry| entry.cookie == cookie).map_or(now, |entry| entry.first);
        *entry = Some(Entry { cookie, first, last: now });
    }
}
