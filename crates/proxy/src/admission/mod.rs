//! Who is let in: at most so many sessions at once, and no more than there are descriptors for.

mod descriptors;
mod register;
mod spare;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dormouse_config::limit::{AtLimit, Cap};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

pub use descriptors::{Beside, Budget, raise_limit};
use register::Register;
use spare::Spare;

/// Counts the sessions of one service.
#[derive(Debug)]
pub struct Admission {
    open: AtomicUsize,
    /// What the administrator allows.
    cap: AtomicUsize,
    at_limit: AtLimit,
    pool: Arc<Pool>,
    /// Where sessions may have to be ended before their time.
    register: Option<Register>,
}

/// Counts the sessions of the process, and what its descriptors allow.
#[derive(Debug)]
pub struct Pool {
    open: AtomicUsize,
    /// Above that, clients wait in the backlog whatever their service says, because they were promised to be served.
    fits: AtomicUsize,
    left: Notify,
    idle: Notify,
    /// Sessions that lack a descriptor. Whatever becomes free is theirs before a newcomer's.
    starving: AtomicUsize,
    spare: Spare,
}

/// A session's place. Dropping it frees the place.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
}

/// What is done with a client that arrives now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Let it in.
    Free,
    /// Turn it away.
    Refuse,
    /// Leave it in the backlog until a session ends.
    Wait,
}

impl Pool {
    /// Descriptors for so many sessions.
    pub fn new(fits: usize) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            fits: AtomicUsize::new(fits.max(1)),
            left: Notify::new(),
            idle: Notify::new(),
            starving: AtomicUsize::new(0),
            spare: Spare::keep(),
        })
    }

    /// There are descriptors for so many sessions from now on.
    pub fn resize(&self, fits: usize) {
        self.fits.store(fits.max(1), Ordering::Release);
        self.left.notify_waiters();
    }

    /// How many sessions are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// How many sessions there are descriptors for.
    pub fn fits(&self) -> usize {
        self.fits.load(Ordering::Relaxed)
    }

    /// How many sessions there may be at once: so many as these services admit, and those that go on elsewhere, under
    /// rules that are no more.
    pub fn wanted<'a>(&self, services: impl IntoIterator<Item = &'a Arc<Admission>>) -> u32 {
        let (admitted, theirs) =
            services.into_iter().fold((0, 0), |(admitted, theirs): (usize, usize), one| {
                let open = one.open();
                (admitted.saturating_add(one.cap().max(open)), theirs.saturating_add(open))
            });
        let others = self.open().saturating_sub(theirs);
        u32::try_from(admitted.saturating_add(others)).unwrap_or(u32::MAX)
    }

    /// There are descriptors for so many from now on; never for fewer than before.
    pub fn grow(&self, fits: usize) {
        self.fits.fetch_max(fits, Ordering::Relaxed);
        self.left.notify_waiters();
    }

    /// Waits until the last open session ends, or has ended since this was last awaited. For one waiter.
    pub async fn became_idle(&self) {
        self.idle.notified().await;
    }
}

impl Admission {
    /// Admits `cap` sessions, as far as the pool has descriptors.
    pub fn new(cap: Cap, at_limit: AtLimit, pool: &Arc<Pool>) -> Arc<Self> {
        Arc::new(Self::with(cap, at_limit, pool, None))
    }

    /// The same for a service that may be taken away while others stay: its sessions can be ended.
    pub fn of_mortals(cap: Cap, at_limit: AtLimit, pool: &Arc<Pool>) -> Arc<Self> {
        Arc::new(Self::with(cap, at_limit, pool, Some(Register::default())))
    }

    fn with(cap: Cap, at_limit: AtLimit, pool: &Arc<Pool>, register: Option<Register>) -> Self {
        let cap = usize::try_from(cap.get()).unwrap_or(usize::MAX);
        Self {
            open: AtomicUsize::new(0),
            cap: AtomicUsize::new(cap),
            at_limit,
            pool: Arc::clone(pool),
            register,
        }
    }

    /// Knows the task of a session that was just let in, until its permit is dropped there.
    pub fn register(&self, task: impl FnOnce() -> AbortHandle) {
        if let Some(register) = &self.register {
            register.add(task());
        }
    }

    /// Ends all sessions that are open. Gives how many these were.
    pub fn end_all(&self) -> usize {
        self.register.as_ref().map_or(0, Register::end_all)
    }

    /// Waits until no session is open.
    pub async fn emptied(&self) {
        loop {
            let mut left = pin!(self.pool.left.notified());
            left.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            left.await;
        }
    }

    /// Whether there is a place.
    pub fn room(&self) -> Room {
        let (open, cap) = (self.open(), self.cap());
        let pool = &self.pool;
        if open >= cap && self.at_limit == AtLimit::Refuse {
            Room::Refuse
        } else if open >= cap || pool.open() >= pool.fits() || pool.starving.load(Ordering::Acquire) > 0 {
            Room::Wait
        } else {
            Room::Free
        }
    }

    /// Takes a place. All listeners run on one thread, so what [`Self::room`] said just before still holds.
    pub fn enter(self: &Arc<Self>) -> Permit {
        self.open.fetch_add(1, Ordering::AcqRel);
        self.pool.open.fetch_add(1, Ordering::AcqRel);
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
        self.pool.left.notify_waiters();
    }

    /// Waits until a session ends, or lacks nothing any more. Wakes all that wait.
    pub async fn session_ended(&self) {
        self.pool.left.notified().await;
    }
}

/// A session's cry for a descriptor. Dropping it ends the cry.
#[derive(Debug)]
pub struct Starving<'a>(&'a Pool);

impl Permit {
    /// Tells that this session lacks a descriptor: nobody else is let in meanwhile.
    pub fn starve(&self) -> Starving<'_> {
        self.admission.pool.starving.fetch_add(1, Ordering::AcqRel);
        self.admission.pool.spare.release();
        Starving(&self.admission.pool)
    }
}

impl Drop for Starving<'_> {
    fn drop(&mut self) {
        if self.0.starving.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.spare.restore();
        }
        self.0.left.notify_waiters();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Ordering::AcqRel);
        if let Some(register) = &self.admission.register {
            register.remove_this();
        }
        let pool = &self.admission.pool;
        let before = pool.open.fetch_sub(1, Ordering::AcqRel);
        pool.left.notify_waiters();
        if before == 1 {
            pool.idle.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_is_hard_and_a_place_comes_back() {
        let admission = Admission::new(Cap::new(1).unwrap(), AtLimit::Refuse, &Pool::new(100));
        let permit = admission.enter();
        assert_eq!(admission.room(), Room::Refuse);
        drop(permit);
        assert_eq!(admission.room(), Room::Free);
    }

    #[test]
    fn nobody_takes_what_a_starving_session_waits_for() {
        let admission = Admission::new(Cap::DEFAULT, AtLimit::Refuse, &Pool::new(256));
        let permit = admission.enter();
        let starving = permit.starve();
        assert_eq!(admission.room(), Room::Wait);
        drop(starving);
        assert_eq!(admission.room(), Room::Free);
    }

    #[tokio::test]
    async fn sessions_can_be_ended_and_their_places_come_back() {
        let pool = Pool::new(10);
        let admission = Admission::of_mortals(Cap::DEFAULT, AtLimit::Queue, &pool);
        let let_in = || {
            let permit = admission.enter();
            let task = tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(permit);
            });
            admission.register(|| task.abort_handle());
            task
        };
        let (first, second) = (let_in(), let_in());
        tokio::task::yield_now().await;
        assert_eq!(admission.end_all(), 2);
        assert_eq!(admission.end_all(), 0);
        admission.emptied().await;
        assert_eq!(pool.open(), 0);
        assert!(first.await.unwrap_err().is_cancelled() && second.await.unwrap_err().is_cancelled());
    }

    #[tokio::test]
    async fn who_has_left_is_not_ended() {
        let admission = Admission::of_mortals(Cap::DEFAULT, AtLimit::Queue, &Pool::new(10));
        let permit = admission.enter();
        let task = tokio::spawn(async move { drop(permit) });
        admission.register(|| task.abort_handle());
        task.await.unwrap();
        assert_eq!(admission.end_all(), 0);
    }

    #[test]
    fn who_stays_from_before_takes_nobodys_place() {
        let pool = Pool::new(100);
        let admission = |cap| Admission::of_mortals(Cap::new(cap).unwrap(), AtLimit::Queue, &pool);
        let (leaving, kept, new) = (admission(3), admission(2), admission(1));
        let _sessions = [leaving.enter(), leaving.enter(), kept.enter()];
        assert_eq!(pool.wanted([&kept, &new]), 2 + 1 + 2);
        // As an administrator says meanwhile; those that are open already stay.
        kept.set_cap(Cap::new(7).unwrap());
        assert_eq!(pool.wanted([&kept, &new]), 7 + 1 + 2);
        leaving.set_cap(Cap::new(1).unwrap());
        assert_eq!(pool.wanted([&leaving]), 2 + 1);
    }

    #[test]
    fn without_descriptors_clients_wait_even_where_the_cap_refuses() {
        let admission = Admission::new(Cap::DEFAULT, AtLimit::Refuse, &Pool::new(1));
        let _permit = admission.enter();
        assert_eq!(admission.room(), Room::Wait);
    }
}
