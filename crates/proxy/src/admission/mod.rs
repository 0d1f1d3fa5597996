//! Who is let in: at most so many sessions at once, and no more than there are descriptors for.

mod fd_budget;
mod reserve_fd;
mod session_tasks;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dormouse_config::limit::{AtLimit, Cap};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

pub use fd_budget::{FdBudget, FdReservation, raise_fd_limit};
use reserve_fd::ReserveFd;
use session_tasks::SessionTasks;

/// Counts the sessions of one service.
#[derive(Debug)]
pub struct Admission {
    open: AtomicUsize,
    /// What the administrator allows.
    cap: AtomicUsize,
    at_limit: AtLimit,
    fd_limits: Arc<FdLimits>,
    /// Where sessions may have to be ended before their time.
    tasks: Option<SessionTasks>,
}

/// Counts the sessions of the process, and what its descriptors allow.
#[derive(Debug)]
pub struct FdLimits {
    open: AtomicUsize,
    /// Above that, clients wait in the backlog whatever their service says, because they were promised to be served.
    max_sessions: AtomicUsize,
    left: Notify,
    idle: Notify,
    /// Sessions that lack a descriptor. Whatever becomes free is theirs before a newcomer's.
    fd_pressure: AtomicUsize,
    reserve_fd: ReserveFd,
}

/// A session's place. Dropping it frees the place.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
}

/// What is done with a client that arrives now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Let it in.
    Accept,
    /// Turn it away.
    Refuse,
    /// Leave it in the backlog until a session ends.
    Wait,
}

impl FdLimits {
    /// Descriptors for so many sessions.
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

    /// There are descriptors for so many sessions from now on.
    pub fn resize(&self, max_sessions: usize) {
        self.max_sessions.store(max_sessions.max(1), Ordering::Release);
        self.left.notify_waiters();
    }

    /// How many sessions are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// How many sessions there are descriptors for.
    pub fn max_sessions(&self) -> usize {
        self.max_sessions.load(Ordering::Relaxed)
    }

    /// How many sessions there may be at once: so many as these services admit, and those that go on elsewhere, under
    /// rules that are no more.
    pub fn sessions_wanted<'a>(&self, services: impl IntoIterator<Item = &'a Arc<Admission>>) -> u32 {
        let (admitted, theirs) =
            services.into_iter().fold((0, 0), |(admitted, theirs): (usize, usize), one| {
                let open = one.open();
                (admitted.saturating_add(one.cap().max(open)), theirs.saturating_add(open))
            });
        let others = self.open().saturating_sub(theirs);
        u32::try_from(admitted.saturating_add(others)).unwrap_or(u32::MAX)
    }

    /// There are descriptors for so many from now on; never for fewer than before.
    pub fn grow(&self, max_sessions: usize) {
        self.max_sessions.fetch_max(max_sessions, Ordering::Relaxed);
        self.left.notify_waiters();
    }

    /// Waits until the last open session ends, or has ended since this was last awaited. For one waiter.
    pub async fn became_idle(&self) {
        self.idle.notified().await;
    }
}

impl Admission {
    /// Admits `cap` sessions, as far as the fd_limits has descriptors.
    pub fn new(cap: Cap, at_limit: AtLimit, fd_limits: &Arc<FdLimits>) -> Arc<Self> {
        Arc::new(Self::with(cap, at_limit, fd_limits, None))
    }

    /// The same for a service that may be taken away while others stay: its sessions can be ended.
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

    /// Knows the task of a session that was just let in, until its permit is dropped there.
    pub fn track_task(&self, task: impl FnOnce() -> AbortHandle) {
        if let Some(tasks) = &self.tasks {
            tasks.add(task());
        }
    }

    /// Ends all sessions that are open. Gives how many these were.
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

    /// Whether there is a place.
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

    /// Takes a place. All listeners run on one thread, so what [`Self::decide`] said just before still holds.
    pub fn admit(self: &Arc<Self>) -> Permit {
        self.open.fetch_add(1, Ordering::AcqRel);
        self.fd_limits.open.fetch_add(1, Ordering::AcqRel);
        Permit { admission: Arc::clone(self) }
    }

    /// How many sessions are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// How many may be.
    pub fn cap(&self) -> usize {
        self.cap.load(Ordering::Relaxed)
    }

    /// Admits so many from now on. Those that are open stay.
    pub fn set_cap(&self, cap: Cap) {
        self.cap.store(usize::try_from(cap.get()).unwrap_or(usize::MAX), Ordering::Relaxed);
        self.fd_limits.left.notify_waiters();
    }

    /// Waits until a session ends, or lacks nothing any more. Wakes all that wait.
    pub async fn session_ended(&self) {
        self.fd_limits.left.notified().await;
    }
}

/// A session's cry for a descriptor. Dropping it ends the cry.
#[derive(Debug)]
pub struct FdPressure<'a>(&'a FdLimits);

impl Permit {
    /// Tells that this session lacks a descriptor: nobody else is let in meanwhile.
    pub fn report_fd_pressure(&self) -> FdPressure<'_> {
        self.admission.fd_limits.fd_pressure.fetch_add(1, Ordering::AcqRel);
        self.admission.fd_limits.reserve_fd.release();
        FdPressure(&self.admission.fd_limits)
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
    fn the_cap_is_hard_and_a_place_comes_back() {
        let admission = Admission::new(Cap::new(1).unwrap(), AtLimit::Refuse, &FdLimits::new(100));
        let permit = admission.admit();
        assert_eq!(admission.decide(), Decision::Refuse);
        drop(permit);
        assert_eq!(admission.decide(), Decision::Accept);
    }

    #[test]
    fn nobody_takes_what_a_starving_session_waits_for() {
        let admission = Admission::new(Cap::DEFAULT, AtLimit::Refuse, &FdLimits::new(256));
        let permit = admission.admit();
        let fd_pressure = permit.report_fd_pressure();
        assert_eq!(admission.decide(), Decision::Wait);
        drop(fd_pressure);
        assert_eq!(admission.decide(), Decision::Accept);
    }

    #[tokio::test]
    async fn sessions_can_be_ended_and_their_places_come_back() {
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
    async fn who_has_left_is_not_ended() {
        let admission = Admission::with_tracked_sessions(Cap::DEFAULT, AtLimit::Queue, &FdLimits::new(10));
        let permit = admission.admit();
        let task = tokio::spawn(async move { drop(permit) });
        admission.track_task(|| task.abort_handle());
        task.await.unwrap();
        assert_eq!(admission.abort_all(), 0);
    }

    #[test]
    fn who_stays_from_before_takes_nobodys_place() {
        let fd_limits = FdLimits::new(100);
        let admission =
            |cap| Admission::with_tracked_sessions(Cap::new(cap).unwrap(), AtLimit::Queue, &fd_limits);
        let (leaving, kept, new) = (admission(3), admission(2), admission(1));
        let _sessions = [leaving.admit(), leaving.admit(), kept.admit()];
        assert_eq!(fd_limits.sessions_wanted([&kept, &new]), 2 + 1 + 2);
        // As an administrator says meanwhile; those that are open already stay.
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
