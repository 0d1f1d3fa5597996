//! Admission: the session limit of each service, and the limit that the process's descriptors set.

mod fd_budget;
mod fd_limits;
mod reserve_fd;
mod session_tasks;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dormouse_config::limit::{AtLimit, Cap};
use tokio::task::AbortHandle;

pub use fd_budget::{FdBudget, FdReservation, raise_fd_limit};
pub use fd_limits::{FdLimits, FdPressure};
use session_tasks::SessionTasks;

/// Counts the sessions of one service.
#[derive(Debug)]
pub struct Admission {
    open: AtomicUsize,
    /// The configured limit.
    cap: AtomicUsize,
    at_limit: AtLimit,
    fd_limits: Arc<FdLimits>,
    /// The tasks of sessions, if they can be aborted.
    tasks: Option<SessionTasks>,
}

/// The permit of a session. Dropping it frees the place.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
}

/// What happens with a client that arrives now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Accept the client.
    Accept,
    /// Refuse the client.
    Refuse,
    /// Leave the client in the backlog until a session ends.
    Wait,
}

impl FdLimits {
    /// Returns the number of sessions that may be open at once: the limits of the given services, and the open sessions of
    /// services that are being removed.
    pub fn sessions_wanted<'a>(&self, services: impl IntoIterator<Item = &'a Arc<Admission>>) -> u32 {
        let (admitted, open_in_them) =
            services.into_iter().fold((0, 0), |(admitted, open_in_them): (usize, usize), one| {
                let open = one.open();
                (admitted.saturating_add(one.cap().max(open)), open_in_them.saturating_add(open))
            });
        let others = self.open().saturating_sub(open_in_them);
        u32::try_from(admitted.saturating_add(others)).unwrap_or(u32::MAX)
    }
}

impl Admission {
    /// Creates an admission of `cap` sessions, as far as the descriptors allow.
    pub fn new(cap: Cap, at_limit: AtLimit, fd_limits: &Arc<FdLimits>) -> Arc<Self> {
        Arc::new(Self::with(cap, at_limit, fd_limits, None))
    }

    /// Creates an admission whose sessions can be aborted, for a service that may be removed while others stay.
    pub fn with_tracked_sessions(cap: Cap, at_limit: AtLimit, fd_limits: &Arc<FdLimits>) -> Arc<Self> {
        Arc::new(Self::with(cap, at_limit, fd_limits, Some(SessionTasks::default())))
    }

    fn with(cap: Cap, at_limit: AtLimit, fd_limits: &Arc<FdLimits>, tasks: Option<SessionTasks>) -> Self {
        let cap = usize::try_from(cap.get()).unwrap_or(usize::MAX);
        Self {
            open: AtomicUsize::new(0),
            cap: AtomicUsize::new(cap),
            at_limit,
            fd_limits: Arc::clone(fd_limits),
            tasks,
        }
    }

    /// Tracks the task of a session that was just admitted, until the task drops its permit.
    pub fn track_task(&self, task: impl FnOnce() -> AbortHandle) {
        if let Some(tasks) = &self.tasks {
            tasks.add(task());
        }
    }

    /// Aborts all open sessions and returns their number.
    pub fn abort_all(&self) -> usize {
        self.tasks.as_ref().map_or(0, SessionTasks::abort_all)
    }

    /// Waits until no session is open.
    pub async fn all_ended(&self) {
        loop {
            let mut left = pin!(self.fd_limits.left.notified());
            left.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            left.await;
        }
    }

    /// Decides about the next client.
    pub fn decide(&self) -> Decision {
        let (open, cap) = (self.open(), self.cap());
        let fd_limits = &self.fd_limits;
        if open >= cap && self.at_limit == AtLimit::Refuse {
            Decision::Refuse
        } else if open >= cap
            || fd_limits.open() >= fd_limits.max_sessions()
            || fd_limits.fd_pressure.load(Ordering::Acquire) > 0
        {
            Decision::Wait
        } else {
            Decision::Accept
        }
    }

    /// Takes a place. All listeners run on one thread, so the result of [`Self::decide`] just before still holds.
    pub fn admit(self: &Arc<Self>) -> Permit {
        self.open.fetch_add(1, Ordering::AcqRel);
        self.fd_limits.open.fetch_add(1, Ordering::AcqRel);
        Permit { admission: Arc::clone(self) }
    }

    /// Returns the number of open sessions.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Returns the session limit.
    pub fn cap(&self) -> usize {
        self.cap.load(Ordering::Relaxed)
    }

    /// Sets the session limit. Open sessions stay.
    pub fn set_cap(&self, cap: Cap) {
        self.cap.store(usize::try_from(cap.get()).unwrap_or(usize::MAX), Ordering::Relaxed);
        self.fd_limits.left.notify_waiters();
    }

    /// Waits until a session ends or gets the descriptor that it waited for. Wakes all waiters.
    pub async fn session_ended(&self) {
        self.fd_limits.left.notified().await;
    }
}

impl Permit {
    /// Reports that this session lacks a descriptor: no client is admitted meanwhile.
    pub fn report_fd_pressure(&self) -> FdPressure<'_> {
        FdPressure::new(&self.admission.fd_limits)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Ordering::AcqRel);
        if let Some(tasks) = &self.admission.tasks {
            tasks.remove_current();
        }
        let fd_limits = &self.admission.fd_limits;
        let before = fd_limits.open.fetch_sub(1, Ordering::AcqRel);
        fd_limits.left.notify_waiters();
        if before == 1 {
            fd_limits.idle.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_at_the_cap_until_a_permit_is_dropped() {
        let admission = Admission::new(Cap::new(1).unwrap(), AtLimit::Refuse, &FdLimits::new(100));
        let permit = admission.admit();
        assert_eq!(admission.decide(), Decision::Refuse);
        drop(permit);
        assert_eq!(admission.decide(), Decision::Accept);
    }

    #[test]
    fn no_client_is_admitted_while_a_session_lacks_a_descriptor() {
        let admission = Admission::new(Cap::DEFAULT, AtLimit::Refuse, &FdLimits::new(256));
        let permit = admission.admit();
        let fd_pressure = permit.report_fd_pressure();
        assert_eq!(admission.decide(), Decision::Wait);
        drop(fd_pressure);
        assert_eq!(admission.decide(), Decision::Accept);
    }

    #[tokio::test]
    async fn aborted_sessions_free_their_places() {
        let fd_limits = FdLimits::new(10);
        let admission = Admission::with_tracked_sessions(Cap::DEFAULT, AtLimit::Queue, &fd_limits);
        let let_in = || {
            let permit = admission.admit();
            let task = tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(permit);
            });
            admission.track_task(|| task.abort_handle());
            task
        };
        let (first, second) = (let_in(), let_in());
        tokio::task::yield_now().await;
        assert_eq!(admission.abort_all(), 2);
        assert_eq!(admission.abort_all(), 0);
        admission.all_ended().await;
        assert_eq!(fd_limits.open(), 0);
        assert!(first.await.unwrap_err().is_cancelled() && second.await.unwrap_err().is_cancelled());
    }

    #[tokio::test]
    async fn an_ended_session_is_not_aborted() {
        let admission = Admission::with_tracked_sessions(Cap::DEFAULT, AtLimit::Queue, &FdLimits::new(10));
        let permit = admission.admit();
        let task = tokio::spawn(async move { drop(permit) });
        admission.track_task(|| task.abort_handle());
        task.await.unwrap();
        assert_eq!(admission.abort_all(), 0);
    }

    #[test]
    fn sessions_of_removed_services_do_not_reduce_the_limit() {
        let fd_limits = FdLimits::new(100);
        let admission =
            |cap| Admission::with_tracked_sessions(Cap::new(cap).unwrap(), AtLimit::Queue, &fd_limits);
        let (leaving, kept, new) = (admission(3), admission(2), admission(1));
        let _sessions = [leaving.admit(), leaving.admit(), kept.admit()];
        assert_eq!(fd_limits.sessions_wanted([&kept, &new]), 2 + 1 + 2);
        // An administrator changes the limit; open sessions stay.
        kept.set_cap(Cap::new(7).unwrap());
        assert_eq!(fd_limits.sessions_wanted([&kept, &new]), 7 + 1 + 2);
        leaving.set_cap(Cap::new(1).unwrap());
        assert_eq!(fd_limits.sessions_wanted([&leaving]), 2 + 1);
    }

    #[test]
    fn without_descriptors_clients_wait_even_where_the_cap_refuses() {
        let admission = Admission::new(Cap::DEFAULT, AtLimit::Refuse, &FdLimits::new(1));
        let _permit = admission.admit();
        assert_eq!(admission.decide(), Decision::Wait);
    }
}
