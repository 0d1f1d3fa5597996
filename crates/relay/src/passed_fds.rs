//! Descriptors that a peer has passed, from their receipt until another process has them or they are given up.
//!
//! They are closed by the [`closer`], never by the event loop. All sessions together hold a limited number of them. Near the
//! limit, sessions look before they read: only bytes are read, or as many descriptors as there is room for.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use dormouse_sys::closer;

/// The most descriptors that one message brings (`SCM_MAX_FD`).
const MAX_IN_MESSAGE: usize = 253;

/// The limit where none has been set.
const DEFAULT_LIMIT: usize = 1024;

/// The number of descriptors that the sessions of this process may hold at a time, with those that are being closed.
static LIMIT: AtomicUsize = AtomicUsize::new(DEFAULT_LIMIT);
/// The number of descriptors that sessions hold.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// Sets the number of passed descriptors that all sessions of this process may hold at a time.
pub fn set_passed_fds_limit(limit: usize) {
    LIMIT.store(limit, Ordering::Relaxed);
}

/// Descriptors that have come with bytes. Dropping them gives them up.
#[derive(Debug, Default)]
pub(crate) struct PassedFds(Vec<OwnedFd>);

impl PassedFds {
    /// Takes descriptors that have just been received.
    pub(crate) fn new(fds: Vec<OwnedFd>) -> Self {
        HELD.fetch_add(fds.len(), Ordering::Relaxed);
        Self(fds)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_slice(&self) -> &[OwnedFd] {
        &self.0
    }

    /// The sink has them, so those of this process are closed. Their options belong to the receiver.
    pub(crate) fn set_delivered(&mut self) {
        closer::close(self.take());
    }

    fn take(&mut self) -> Vec<OwnedFd> {
        let fds = std::mem::take(&mut self.0);
        HELD.fetch_sub(fds.len(), Ordering::Relaxed);
        fds
    }
}

impl Drop for PassedFds {
    fn drop(&mut self) {
        closer::discard(self.take());
    }
}

/// Returns the number of passed descriptors that are open.
fn open() -> usize {
    HELD.load(Ordering::Relaxed).saturating_add(closer::waiting())
}

/// Returns whether `more` descriptors can be received. There is always room for none, also beyond the limit: sockets that
/// wait to be closed count, too.
pub(crate) fn has_room_for(more: usize) -> bool {
    more == 0 || open().saturating_add(more) <= LIMIT.load(Ordering::Relaxed)
}

/// Returns whether any message can be received, whatever comes with it.
pub(crate) fn has_room_for_any() -> bool {
    has_room_for(MAX_IN_MESSAGE)
}

/// Returns whether half of the limit is in use, so that sessions hold no descriptors that they need not hold.
pub(crate) fn are_scarce() -> bool {
    open() > LIMIT.load(Ordering::Relaxed) / 2
}
