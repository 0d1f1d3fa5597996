//! The task of a container: orders in, news out.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use hyper::{Method, StatusCode};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::watch as signal;
use tokio::time::{Instant, sleep, sleep_until};

use super::Container;
use super::engine::{Engine, EngineError, PROMPT, encode};
use super::inspect::{Doing, Healthy, Inspection, check_health, failing_check_acts};
use super::watch::{Hint, Watch};
use crate::{Context, Line, News, Operation, Order, WakeError};

/// How long the engine may take for a start: it may have to mount an image and make a network first.
const START: Duration = Duration::from_secs(120);
/// An engine that is started again is waited for so long, and one whose socket does not even exist less.
const RESTART: Duration = Duration::from_secs(20);
const ABSENCE: Duration = Duration::from_secs(3);
/// Between two tries.
const QUICKEST: Duration = Duration::from_millis(20);
const SLOWEST: Duration = Duration::from_secs(1);
/// The health check is looked at so soon at first.
const HEALTH: Duration = Duration::from_millis(100);
/// While somebody waits for the first good health check, a bad one is told only after so long.
const HEALTH_GRACE: Duration = Duration::from_secs(5);
/// How long an engine may take to notice that a process has ended.
const NOTICE: Duration = Duration::from_secs(5);
/// A container that ended by itself is watched on for so long: its engine may start it again.
const LINGER: Duration = Duration::from_secs(10);

/// Carries out orders until there are no more.
pub(crate) async fn run(it: Container, context: Context, mut orders: Receiver<Order>, news: Sender<News>) {
    let mut task = Task::new(it, context);
    let mut next = None;
    loop {
        let order = match next.take() {
            Some(order) => order,
            None => tokio::select! {
                biased;
                order = orders.recv() => order,
                told = task.observe() => {
                    if news.send(told).await.is_err() {
                        return;
                    }
                    continue;
                }
            },
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

struct Task {
    it: Container,
    context: Context,
    engine: Engine,
    belief: Belief,
    watch: Option<Watch>,
    /// Until when a container that ended by itself is watched on.
    linger: Option<Instant>,
    /// Something may have changed.
    dirty: bool,
    /// When to look without a hint, and how long to wait after that.
    again: Option<(Instant, Duration)>,
    /// When its process ended, while the engine does not know it.
    ended: Option<(Instant, u32)>,
    health: Option<HealthWait>,
    /// The process that was seen last.
    pid: Option<u32>,
}

/// Somebody waits for the first good health check.
#[derive(Debug)]
struct HealthWait {
    since: Instant,
    /// Whether checks of ours may speed it up; unknown until the engine was asked.
    ours: Option<bool>,
    told: bool,
}

type Cancelled = signal::Receiver<bool>;

impl Task {
    fn new(it: Container, context: Context) -> Self {
        Self {
            engine: Engine::new(it.engine.clone()),
            it,
            context,
            belief: Belief::Asleep,
            watch: None,
            linger: None,
            // It may run already.
            dirty: true,
            again: None,
            ended: None,
            health: None,
            pid: None,
        }
    }

    async fn carry_out(&mut self, order: Order, cancelled: Cancelled) -> News {
        match order {
            Order::Start => match self.start(cancelled).await {
                Ok(foreign) => {
                    self.awake();
                    self.health = self.it.healthy.then(|| HealthWait::new(Instant::now()));
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

    // ---- orders

    /// Gives whether somebody else had started it.
    async fn start(&mut self, mut cancelled: Cancelled) -> Result<bool, WakeError> {
        let mut patience = Patience::new();
        let mut posted = false;
        loop {
            match self.try_start(&mut posted).await {
                Ok(foreign) => return Ok(foreign),
                Err(Trouble::Engine(error)) if patience.has_time_for(&error, posted) => {
                    if patience.wait(&mut cancelled).await {
                        return Err(self.error(Operation::Start, &"it was given up"));
                    }
                }
                Err(Trouble::Engine(error)) if error.is_unknown() => {
                    let remedy = format!(
                        "{error}; make it with \"create --name {}\", and without --rm, which removes it at each stop",
                        self.it.name
                    );
                    return Err(self.error(Operation::Start, &remedy));
                }
                Err(Trouble::Engine(error)) => return Err(self.error(Operation::Start, &error)),
                Err(Trouble::NoHealthCheck) => {
                    let reason = "it is to be healthy, but has no health check; create it with --health-cmd, or wait \
                                  for something else";
                    return Err(self.error(Operation::Start, &reason));
                }
            }
        }
    }

    async fn try_start(&mut self, posted: &mut bool) -> Result<bool, Trouble> {
        let seen = Inspection::of(&mut self.engine, &self.it.name).await?;
        if self.it.healthy && !seen.has_health_check() {
            return Err(Trouble::NoHealthCheck);
        }
        match seen.doing() {
            Doing::Runs => Ok(!*posted),
            Doing::Paused => {
                // Whoever paused it, it is us who wake it; we may have paused it before we were restarted ourselves.
                self.post("unpause", PROMPT).await?;
                Ok(false)
            }
            Doing::Nothing => {
                let again = std::mem::replace(posted, true);
                let status = self.post("start", START).await?;
                Ok(status == StatusCode::NOT_MODIFIED && !again)
            }
        }
    }

    async fn stop(&mut self) {
        let mut patience = Patience::new();
        let result = loop {
            match self.try_stop().await {
                Err(error) if error.is_unknown() => break Ok(()),
                Err(error) if patience.has_time_for(&error, true) => patience.rest().await,
                result => break result,
            }
        };
        if let Err(error) = result {
            let line = self.error(Operation::Stop, &error).to_string();
            (self.context.tell)(Line::Warning(&line));
        }
    }

    async fn try_stop(&mut self) -> Result<(), EngineError> {
        /// What the engine takes beside the time that it gives the program.
        const MARGIN: Duration = Duration::from_secs(10);
        if Inspection::of(&mut self.engine, &self.it.name).await?.doing() == Doing::Paused {
            // A paused program cannot take the signal.
            let _ = self.post("unpause", PROMPT).await;
        }
        let grace = self.context.stop_timeout;
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        match self.post(&format!("stop?t={seconds}"), grace.saturating_add(MARGIN)).await {
            Err(error @ (EngineError::Said(..) | EngineError::Late(_))) if !error.is_unknown() => {
                self.kill().await.map_err(|_| error)
            }
            result => result.map(drop),
        }
    }

    async fn kill(&mut self) -> Result<(), EngineError> {
        let killed = self.post("kill?signal=KILL", PROMPT).await;
        let mut patience = Patience::new();
        loop {
            match Inspection::of(&mut self.engine, &self.it.name).await {
                Ok(seen) if seen.doing() == Doing::Nothing => return Ok(()),
                Err(error) if error.is_unknown() => return Ok(()),
                _ if patience.spent(NOTICE) => return killed.map(drop),
                _ => patience.rest().await,
            }
        }
    }

    async fn freeze(&mut self) -> Result<(), WakeError> {
        let Err(error) = self.post("pause", PROMPT).await else { return Ok(()) };
        match Inspection::of(&mut self.engine, &self.it.name).await {
            Ok(seen) if seen.doing() == Doing::Paused => Ok(()),
            _ => Err(self.error(Operation::Freeze, &error)),
        }
    }

    async fn thaw(&mut self, mut cancelled: Cancelled) -> Result<(), WakeError> {
        let mut patience = Patience::new();
        loop {
            let Err(error) = self.post("unpause", PROMPT).await else { return Ok(()) };
            if matches!(error, EngineError::Said(..)) {
                let seen = Inspection::of(&mut self.engine, &self.it.name).await;
                if seen.is_ok_and(|seen| seen.doing() == Doing::Runs) {
                    return Ok(());
                }
            }
            if !patience.has_time_for(&error, true) || patience.wait(&mut cancelled).await {
                return Err(self.error(Operation::Thaw, &error));
            }
        }
    }

    async fn post(&mut self, what: &str, limit: Duration) -> Result<StatusCode, EngineError> {
        let path = format!("/containers/{}/{what}", encode(&self.it.name));
        Ok(self.engine.ask(Method::POST, &path, limit).await?.status)
    }

    // ---- news

    /// Waits for something that the service should know. Nothing is lost when it is dropped.
    async fn observe(&mut self) -> News {
        loop {
            if !self.dirty {
                self.wait_for_a_hint().await;
                continue;
            }
            let news = match Inspection::of(&mut self.engine, &self.it.name).await {
                Ok(seen) => {
                    self.again = None;
                    self.weigh(&seen).await
                }
                Err(error) if error.is_unknown() => {
                    self.again = None;
                    self.removed()
                }
                Err(_) => {
                    // What sleeps is left alone until somebody wants it.
                    if self.belief != Belief::Asleep {
                        self.look_again(QUICKEST);
                    }
                    None
                }
            };
            self.dirty = false;
            if let Some(news) = news {
                return news;
            }
        }
    }

    async fn wait_for_a_hint(&mut self) {
        let due = self.again.map(|(due, _)| due);
        tokio::select! {
            hint = next_hint(self.watch.as_mut(), &mut self.engine) => match hint {
                Hint::Look => self.dirty = true,
                Hint::Ended => {
                    self.ended = self.pid.map(|pid| (Instant::now(), pid));
                    self.dirty = true;
                }
                Hint::Unhealthy => {
                    if self.health.is_none() {
                        self.warn("its health check fails");
                    }
                    self.dirty = self.health.is_some();
                }
            },
            () = at(due) => self.dirty = true,
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
                // It was seen just now.
                self.dirty = false;
                Some(News::Running)
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
            (Belief::Frozen, Doing::Paused) | (Belief::Asleep, Doing::Paused | Doing::Nothing) => None,
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
        let pause = self.again.map_or(soonest, |(_, pause)| pause);
        self.again = Some((Instant::now() + pause, (pause * 2).min(SLOWEST)));
    }

    fn awake(&mut self) {
        self.belief = Belief::Awake;
        self.linger = None;
        self.ended = None;
        self.dirty = true;
        self.watch();
    }

    fn asleep(&mut self) {
        self.belief = Belief::Asleep;
        self.health = None;
        self.again = None;
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

    fn error(&self, operation: Operation, reason: &impl ToString) -> WakeError {
        WakeError { what: self.it.to_string(), operation, reason: reason.to_string() }
    }

    fn notice(&self, what: &str) {
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

/// Why a start did not work.
enum Trouble {
    Engine(EngineError),
    NoHealthCheck,
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// Waits for an engine that is away for a moment.
struct Patience {
    since: Instant,
    pause: Duration,
    /// The engine was cut off in the middle of the work.
    interrupted: bool,
}

impl Patience {
    fn new() -> Self {
        Self { since: Instant::now(), pause: QUICKEST, interrupted: false }
    }

    /// Whether it is worth another try. `at_work`: the engine had begun to do it.
    fn has_time_for(&mut self, error: &EngineError, at_work: bool) -> bool {
        self.interrupted |= at_work && error.passes();
        let limit = if error.is_absent() { ABSENCE } else { RESTART };
        // One that was killed in the middle finds its own half of the work in its way, and clears it away as it fails.
        let passes = error.passes() || (self.interrupted && error.is_internal());
        passes && !self.spent(limit)
    }

    fn spent(&self, limit: Duration) -> bool {
        self.since.elapsed() + self.pause > limit
    }

    /// Waits before the next try; gives whether it is not wanted any more.
    async fn wait(&mut self, cancelled: &mut Cancelled) -> bool {
        tokio::select! {
            () = self.rest() => false,
            _ = cancelled.wait_for(|cancelled| *cancelled) => true,
        }
    }

    async fn rest(&mut self) {
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(SLOWEST);
    }
}
