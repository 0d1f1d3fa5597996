//! The task of a container: orders in, news out.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::watch as signal;
use tokio::time::{Instant, sleep_until};

use super::Container;
use super::engine::Engine;
use super::inspect::{Doing, Healthy, Inspection, check_health, failing_check_acts};
use super::orders::Cancelled;
use super::watch::{Hint, Watch};
use crate::{Context, Line, News, Operation, Order, WakeError};

/// Between two tries.
pub(super) const QUICKEST: Duration = Duration::from_millis(20);
pub(super) const SLOWEST: Duration = Duration::from_secs(1);
/// The health check is looked at so soon at first.
const HEALTH: Duration = Duration::from_millis(100);
/// While somebody waits for the first good health check, a bad one is told only after so long.
const HEALTH_GRACE: Duration = Duration::from_secs(5);
/// How long an engine may take to notice that a process has ended.
pub(super) const NOTICE: Duration = Duration::from_secs(5);
/// A container that ended by itself is watched on for so long: its engine may start it again.
const LINGER: Duration = Duration::from_secs(10);

/// Carries out orders until there are no more.
pub(crate) async fn run(it: Container, context: Context, mut orders: Receiver<Order>, news: Sender<News>) {
    let mut task = Task::new(it, context);
    let mut next = None;
    loop {
        let order = if let Some(order) = next.take() {
            order
        } else {
            tokio::select! {
                biased;
                order = orders.recv() => order,
                told = task.observe() => {
                    if news.send(told).await.is_err() {
                        return;
                    }
                    continue;
                }
            }
        };
        let Some(order) = order else { return };
        let (cancel, cancelled) = signal::channel(false);
        let said = {
            let mut work = pin!(task.carry_out(order, cancelled));
            loop {
                tokio::select! {
                    said = &mut work => break said,
                    another = orders.recv(), if next.is_none() => {
                        if order != Order::Stop && matches!(another, Some(Order::Stop) | None) {
                            let _ = cancel.send(true);
                        }
                        next = Some(another);
                    }
                }
            }
        };
        if !*cancel.borrow() && news.send(said).await.is_err() {
            return;
        }
    }
}

/// What the service was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    Asleep,
    Awake,
    Frozen,
}

pub(super) struct Task {
    pub(super) it: Container,
    pub(super) context: Context,
    pub(super) engine: Engine,
    belief: Belief,
    /// What is found running was started by us, before we ended.
    pub(super) ours: bool,
    watch: Option<Watch>,
    /// Until when a container that ended by itself is watched on.
    linger: Option<Instant>,
    /// Something may have changed.
    dirty: bool,
    /// When to look without a hint.
    again: Option<Instant>,
    /// How long to wait for the look after that, where one follows another.
    pause: Option<Duration>,
    /// When its process ended, while the engine does not know it.
    ended: Option<(Instant, u32)>,
    health: Option<HealthWait>,
    /// That its health check fails was told.
    unhealthy: bool,
    /// The process that was seen last.
    pid: Option<u32>,
    /// When it was last seen to end.
    pub(super) last_end: Option<Instant>,
}

/// Somebody waits for the first good health check.
#[derive(Debug)]
struct HealthWait {
    since: Instant,
    /// Whether checks of ours may speed it up; unknown until the engine was asked.
    ours: Option<bool>,
    told: bool,
}

impl Task {
    fn new(it: Container, context: Context) -> Self {
        Self {
            engine: Engine::new(it.engine.clone()),
            it,
            ours: context.ours,
            context,
            belief: Belief::Asleep,
            watch: None,
            linger: None,
            // It may run already.
            dirty: true,
            again: None,
            pause: None,
            ended: None,
            health: None,
            unhealthy: false,
            pid: None,
            last_end: None,
        }
    }

    async fn carry_out(&mut self, order: Order, cancelled: Cancelled) -> News {
        match order {
            Order::Start => match self.start(cancelled).await {
                Ok(foreign) => {
                    self.awake();
                    self.wait_for_health();
                    News::Launched { foreign }
                }
                Err(error) => News::StartFailed(error),
            },
            Order::Stop => {
                self.stop().await;
                self.asleep();
                News::Stopped
            }
            Order::Freeze => match self.freeze().await {
                Ok(()) => {
                    self.belief = Belief::Frozen;
                    News::Frozen
                }
                Err(error) => News::FreezeFailed(error),
            },
            Order::Thaw => match self.thaw(cancelled).await {
                Ok(()) => {
                    self.awake();
                    News::Thawed
                }
                Err(error) => {
                    self.asleep();
                    News::Exited(Err(error))
                }
            },
        }
    }

    /// Waits for something that the service should know. Nothing is lost when it is dropped.
    async fn observe(&mut self) -> News {
        loop {
            if !self.dirty {
                self.wait_for_a_hint().await;
                continue;
            }
            self.again = None;
            let news = match Inspection::of(&mut self.engine, &self.it.name).await {
                Ok(seen) => self.weigh(&seen).await,
                Err(error) if error.is_unknown() => self.removed(),
                Err(_) => {
                    // What sleeps is left alone until somebody wants it.
                    if self.belief != Belief::Asleep {
                        self.look_again(QUICKEST);
                    }
                    None
                }
            };
            self.dirty = false;
            if self.again.is_none() {
                self.pause = None;
            }
            if let Some(news) = news {
                return news;
            }
        }
    }

    async fn wait_for_a_hint(&mut self) {
        tokio::select! {
            hint = next_hint(self.watch.as_mut(), &mut self.engine) => match hint {
                Hint::Look => self.dirty = true,
                Hint::Ended => {
                    self.ended = self.pid.map(|pid| (Instant::now(), pid));
                    self.dirty = true;
                }
                Hint::Unhealthy => {
                    if self.health.is_none() && !self.unhealthy {
                        self.unhealthy = true;
                        self.warn("its health check fails");
                    }
                    self.dirty = self.health.is_some();
                }
            },
            () = at(self.again) => self.dirty = true,
            () = at(self.linger) => {
                self.linger = None;
                self.watch = None;
            }
        }
    }

    /// What is news in what was seen.
    async fn weigh(&mut self, seen: &Inspection) -> Option<News> {
        if self.engine.is_podman() == Some(false) || seen.doing() == Doing::Runs {
            self.watch();
        }
        self.pid = seen.process();
        self.unhealthy &= seen.healthy() != Healthy::Yes;
        if let Some(watch) = &mut self.watch {
            // A process that has ended is not followed again, however long the engine takes to notice.
            let news = self.ended.is_none_or(|(_, pid)| Some(pid) != self.pid);
            watch.follow_process(self.pid.filter(|_| news), &seen.id);
        }
        match (self.belief, seen.doing()) {
            (Belief::Awake, Doing::Runs) => {
                if let Some((when, pid)) = self.ended.filter(|(_, pid)| Some(*pid) == self.pid) {
                    return self.ended_unnoticed(when, pid);
                }
                self.ended = None;
                self.check_health(seen).await
            }
            (Belief::Asleep | Belief::Frozen, Doing::Runs) => {
                self.awake();
                self.wait_for_health();
                Some(News::Running { foreign: !std::mem::take(&mut self.ours) })
            }
            (Belief::Asleep, Doing::Paused) if self.ours => {
                // We have paused it before we ended; it is put to sleep again by the usual rules.
                self.unpause().await;
                // Whatever came of it shows then.
                self.look_again(QUICKEST);
                None
            }
            (Belief::Asleep, Doing::Nothing) => {
                self.ours = false;
                None
            }
            (Belief::Awake, Doing::Paused) => {
                // Whoever connects now wakes it again.
                self.notice("somebody else has paused it");
                self.ended_by_itself();
                Some(News::Exited(Ok(())))
            }
            (Belief::Awake | Belief::Frozen, Doing::Nothing) => {
                let ending = seen.ending().map_err(|reason| self.error(Operation::Run, &reason));
                self.ended_by_itself();
                Some(News::Exited(ending))
            }
            (Belief::Frozen | Belief::Asleep, Doing::Paused) => None,
        }
    }

    /// The engine says that it runs, but its process has ended.
    fn ended_unnoticed(&mut self, when: Instant, pid: u32) -> Option<News> {
        if when.elapsed() < NOTICE {
            self.look_again(QUICKEST);
            return None;
        }
        let reason = format!("its process {pid} is gone, but its engine says that it runs");
        let error = self.error(Operation::Run, &reason);
        self.ended_by_itself();
        Some(News::Exited(Err(error)))
    }

    async fn check_health(&mut self, seen: &Inspection) -> Option<News> {
        let wait = self.health.as_mut()?;
        let mut healthy = seen.healthy();
        if healthy != Healthy::Yes {
            // The engine's own checks may be far apart, or nobody may run them; a check of ours must do no harm, though.
            let ours = match wait.ours {
                Some(ours) => ours,
                None => !failing_check_acts(&mut self.engine, &self.it.name).await.unwrap_or(true),
            };
            wait.ours = Some(ours);
            if ours {
                healthy = check_health(&mut self.engine, &self.it.name).await.unwrap_or(healthy);
            }
        }
        match healthy {
            Healthy::Yes => {
                self.health = None;
                return Some(News::Ready);
            }
            Healthy::No if !wait.told && wait.since.elapsed() >= HEALTH_GRACE => {
                wait.told = true;
                self.warn("its health check fails");
            }
            Healthy::No | Healthy::NotYet => {}
        }
        self.look_again(HEALTH);
        None
    }

    fn wait_for_health(&mut self) {
        if self.it.healthy {
            self.health = Some(HealthWait::new(Instant::now()));
            self.look_again(QUICKEST);
        }
    }

    fn removed(&mut self) -> Option<News> {
        if self.belief == Belief::Asleep {
            return None;
        }
        let error = self.error(Operation::Run, &"it was removed");
        self.asleep();
        Some(News::Exited(Err(error)))
    }

    /// Looks again without a hint: after `soonest` at first, then less and less often.
    fn look_again(&mut self, soonest: Duration) {
        let pause = self.pause.unwrap_or(soonest);
        self.again = Some(Instant::now() + pause);
        self.pause = Some((pause * 2).min(SLOWEST));
    }

    fn awake(&mut self) {
        self.belief = Belief::Awake;
        self.linger = None;
        self.ended = None;
        self.dirty = true;
        self.watch();
    }

    fn asleep(&mut self) {
        self.last_end = Some(Instant::now());
        self.belief = Belief::Asleep;
        self.ours = false;
        self.health = None;
        self.again = None;
        self.pause = None;
        self.ended = None;
        self.pid = None;
        self.linger = None;
        self.dirty = false;
        // Docker's engine runs anyway, and tells who else starts it.
        if self.engine.is_podman() != Some(false) {
            self.watch = None;
        }
    }

    fn ended_by_itself(&mut self) {
        let watch = self.watch.take();
        self.asleep();
        self.watch = watch;
        if self.engine.is_podman() != Some(false) {
            self.linger = Some(Instant::now() + LINGER);
        }
    }

    fn watch(&mut self) {
        self.watch.get_or_insert_with(|| Watch::new(&self.it.name));
    }

    pub(super) fn error(&self, operation: Operation, reason: &impl ToString) -> WakeError {
        WakeError { what: self.it.to_string(), operation, reason: reason.to_string() }
    }

    pub(super) fn notice(&self, what: &str) {
        (self.context.tell)(Line::Notice(&format!("{}: {what}", self.it)));
    }

    fn warn(&self, what: &str) {
        (self.context.tell)(Line::Warning(&format!("{}: {what}", self.it)));
    }
}

impl HealthWait {
    fn new(since: Instant) -> Self {
        Self { since, ours: None, told: false }
    }
}

async fn next_hint(watch: Option<&mut Watch>, engine: &mut Engine) -> Hint {
    match watch {
        Some(watch) => watch.next(engine).await,
        None => pending().await,
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => pending().await,
    }
}
