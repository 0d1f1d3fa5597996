//! The limit that the process's descriptors set to the number of sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::reserve_fd::ReserveFd;

/// Counts the sessions of the process, and limits them to its descriptors.
#[derive(Debug)]
pub struct FdLimits {
    pub(super) open: AtomicUsize,
    /// Above this number of sessions, clients wait in the backlog even if their service refuses clients at its limit.
    max_sessions: AtomicUsize,
    pub(super) left: Notify,
    pub(super) idle: Notify,
    /// The number of sessions that wait for a descriptor. They get free descriptors before new clients.
    pub(super) fd_pressure: AtomicUsize,
    reserve_fd: ReserveFd,
}

impl FdLimits {
    /// Creates limits for a number of sessions.
    pub fn new(max_sessions: usize) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            max_sessions: AtomicUsize::new(max_sessions.max(1)),
            left: Notify::new(),
            idle: Notify::new(),
            fd_pressure: AtomicUsize::new(0),
            reserve_fd: ReserveFd::keep(),
        })
    }

    /// Sets the number of sessions.
    pub fn resize(&self, max_sessions: usize) {
        self.max_sessions.store(max_sessions.max(1), Ordering::Release);
        self.left.notify_waiters();
    }

    /// Returns the number of open sessions.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Returns the number of sessions that the descriptors allow.
    pub fn max_sessions(&self) -> usize {
        self.max_sessions.load(Ordering::Relaxed)
    }

    /// Raises the number of sessions. It is never lowered.
    pub fn grow(&self, max_sessions: usize) {
        self.max_sessions.fetch_max(max_sessions, Ordering::Relaxed);
        self.left.notify_waiters();
    }

    /// Waits until the last open session ends, or has ended since this was last awaited. For one waiter.
    pub async fn became_idle(&self) {
        self.idle.notified().await;
    }
}

/// Marks a session that waits for a descriptor. Dropping it removes the mark.
#[derive(Debug)]
pub struct FdPressure<'a>(&'a FdLimits);

impl<'a> FdPressure<'a> {
    pub(super) fn new(fd_limits: &'a FdLimits) -> Self {
        fd_limits.fd_pressure.fetch_add(1, Ordering::AcqRel);
        fd_limits.reserve_fd.release();
        Self(fd_limits)
    }
}

impl Drop for FdPressure<'_> {
    fn drop(&mut self) {
        if self.0.fd_pressure.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.reserve_fd.restore();
        }
        self.0.left.notify_waiters();
    }
}
