//! The task that owns a server that sleeps: carries out what the machine wants, and tells it what came of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_activate::{Activator, ActivatorConfig, ActivatorContext, LogLine, Request};
use dormouse_core::activation::{Event, Eviction};
use dormouse_core::schedule::{WeeklyWindow, is_open};
use dormouse_log::{Level, Log};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Sleep, sleep, sleep_until};

use super::group::{Group, Place};
use super::ready::{Probe, Readiness};
use super::sleeper::Sleeper;
use crate::connect::Route;

/// A server that sleeps, and what it takes to wake it.
pub(super) struct Driver {
    pub(super) sleeper: Arc<Sleeper>,
    /// May change at any time.
    pub(super) habits: watch::Receiver<Arc<Habits>>,
    pub(super) log: Log,
    /// Ends when what ran here before is gone, if something did.
    pub(super) before: Option<oneshot::Receiver<()>>,
    /// What is found running at first was started by us, before we were started again ourselves.
    pub(super) ours: bool,
    /// Dropped when nothing is left.
    pub(super) gone: oneshot::Sender<()>,
}

/// How a server is woken, found ready and put to sleep.
#[derive(Debug)]
pub(super) struct Habits {
    pub(super) wake: ActivatorConfig,
    pub(super) route: Arc<Route>,
    pub(super) readiness: Readiness,
    pub(super) stop_timeout: Duration,
    pub(super) keep_warm: Vec<WeeklyWindow>,
    pub(super) group: Option<Arc<Group>>,
}

/// How often the clock on the wall is looked at.
const WALL_CLOCK: Duration = Duration::from_secs(20);

impl Driver {
    /// Drives until it is told to end, then puts to sleep what it has started.
    pub(super) async fn run(mut self, end: Arc<Notify>) {
        if let Some(before) = self.before.take() {
            // Both ways it is gone.
            let _ = before.await;
        }
        let habits = Arc::clone(&self.habits.borrow_and_update());
        let mut drive = Drive {
            activator: dormouse_activate::spawn(habits.wake.clone(), self.context(&habits, self.ours)),
            stale: false,
            driver: self,
            habits,
            says: Arc::new(Notify::new()),
            probe: None,
            place: None,
            entering: None,
            evicted: false,
            ours_again: false,
            wall_clock: Box::pin(sleep(Duration::ZERO)),
        };
        tokio::select! {
            () = drive.turn() => {}
            () = end.notified() => {}
        }
        drive.end().await;
    }

    fn context(&self, habits: &Habits, ours: bool) -> ActivatorContext {
        let (name, log) = (self.sleeper.name().to_owned(), self.log.clone());
        let write = Arc::new(move |line: LogLine<'_>| match line {
            LogLine::Output(text) => log.line(Level::Info, format_args!("{name}| {text}")),
            LogLine::Notice(text) => log.line(Level::Notice, format_args!("{name}: {text}")),
            LogLine::Warning(text) => log.line(Level::Warning, format_args!("{name}: {text}")),
        });
        ActivatorContext {
            name: self.sleeper.name().to_owned(),
            stop_timeout: habits.stop_timeout,
            started_by_us: ours,
            log: write,
        }
    }
}

struct Drive {
    driver: Driver,
    habits: Arc<Habits>,
    activator: Activator,
    /// The activator is one of former habits, and is replaced when nothing runs.
    stale: bool,
    /// The server has said that it is ready.
    says: Arc<Notify>,
    /// Looks whether it answers.
    probe: Option<Probe>,
    /// Its place in the exclusive group, from before its start until after its end.
    place: Option<(Arc<Group>, Place)>,
    /// Waits for it.
    entering: Option<Entering>,
    /// It knows that another wants the place.
    evicted: bool,
    /// What runs without our asking is what we had started before.
    ours_again: bool,
    /// When the clock on the wall is looked at next.
    wall_clock: Pin<Box<Sleep>>,
}

type Entering = Pin<Box<dyn Future<Output = (Arc<Group>, Place)> + Send>>;

impl Drive {
    async fn turn(&mut self) {
        let sleeper = Arc::clone(&self.driver.sleeper);
        loop {
            let due = sleeper.tick();
            while let Some(request) = sleeper.next_order() {
                self.request(request).await;
            }
            let group = self.place.as_ref().map(|(group, _)| group);
            tokio::select! {
                () = sleeper.nudge.notified() => {}
                event = self.activator.events.recv() => match event {
                    Some(event) => self.handle(event),
                    None => self.revive(),
                },
                first = answer(&mut self.probe) => {
                    self.probe = None;
                    sleeper.answers(first);
                    if std::mem::take(&mut self.ours_again) {
                        sleeper.claim();
                    }
                }
                place = entered(&mut self.entering) => {
                    self.entering = None;
                    self.place = Some(place);
                    self.pass(Request::Start).await;
                }
                wanted = wanted_changes(group, self.evicted) => {
                    self.evicted = wanted;
                    sleeper.evict(Eviction::ExclusiveGroup, wanted);
                }
                () = at(due) => {}
                () = &mut self.wall_clock, if !self.habits.keep_warm.is_empty() => {
                    let (day, minute) = dormouse_sys::local_time::weekday_and_minute();
                    sleeper.keep_warm(is_open(&self.habits.keep_warm, day, minute));
                    self.wall_clock = Box::pin(sleep(WALL_CLOCK));
                }
                // Its sender lives as long as we are wanted.
                Ok(()) = self.driver.habits.changed() => self.change(),
            }
        }
    }

    /// Takes on other habits. What runs goes on running; another way to wake it counts from its next start on, which
    /// comes soon: it is put to sleep as soon as nobody uses it.
    fn change(&mut self) {
        let habits = Arc::clone(&self.driver.habits.borrow_and_update());
        let before = std::mem::replace(&mut self.habits, habits);
        let sleeper = Arc::clone(&self.driver.sleeper);
        if before.keep_warm != self.habits.keep_warm {
            self.wall_clock = Box::pin(sleep(Duration::ZERO));
            if self.habits.keep_warm.is_empty() {
                sleeper.keep_warm(false);
            }
        }
        let other = before.wake != self.habits.wake;
        if !other && before.stop_timeout == self.habits.stop_timeout {
            return;
        }
        self.stale = true;
        if sleeper.is_at_rest() {
            self.renew();
            sleeper.forgive();
        } else if other && sleeper.is_foreign() {
            // Whatever it is, it is not ours to stop, and not what is meant now.
            self.over();
            sleeper.event(Event::Exited { failed: false }, None);
        } else if other {
            sleeper.evict(Eviction::ConfigChanged, true);
        }
    }

    /// Starts an activator of the present habits. The one before ends because its requests are closed.
    fn renew(&mut self) {
        self.stale = false;
        let context = self.driver.context(&self.habits, false);
        self.activator = dormouse_activate::spawn(self.habits.wake.clone(), context);
    }

    async fn request(&mut self, request: Request) {
        match request {
            Request::Start => {
                self.says = Arc::new(Notify::new());
                self.evicted = false;
                if let (Some(group), None) = (&self.habits.group, &self.place) {
                    let group = Arc::clone(group);
                    self.entering = Some(Box::pin(async move { (Arc::clone(&group), group.enter().await) }));
                    return;
                }
            }
            Request::Stop if self.entering.is_some() => {
                // It never came to start.
                self.entering = None;
                self.driver.sleeper.event(Event::Stopped, None);
                return;
            }
            Request::Stop => self.probe = None,
            Request::Freeze | Request::Thaw => {}
        }
        self.pass(request).await;
    }

    async fn pass(&mut self, request: Request) {
        // An activator takes its requests at once. The end of its events shows that it has failed.
        let _ = self.activator.requests.send(request).await;
    }

    fn handle(&mut self, event: dormouse_activate::Event) {
        let sleeper = Arc::clone(&self.driver.sleeper);
        match event {
            dormouse_activate::Event::Launched { foreign } => {
                if foreign {
                    sleeper.found_running();
                }
                self.look(true);
            }
            dormouse_activate::Event::Running { foreign } => {
                self.ours_again = !foreign;
                self.look(false);
            }
            dormouse_activate::Event::Ready => self.says.notify_one(),
            dormouse_activate::Event::StartFailed(error) => {
                self.over();
                sleeper.event(Event::StartFailed, Some(error.to_string()));
            }
            dormouse_activate::Event::Exited(how) => {
                let event = Event::Exited { failed: how.is_err() };
                let reason = match how {
                    Err(error) => Some(error.to_string()),
                    Ok(()) if sleeper.is_starting() => {
                        Some(self.habits.wake.properties().ended_early.to_owned())
                    }
                    Ok(()) => None,
                };
                self.over();
                sleeper.event(event, reason);
            }
            dormouse_activate::Event::Stopped => {
                // Where it took so long that it was given up, the start behind it has the place now.
                if !sleeper.is_starting() || self.entering.is_some() {
                    self.over();
                }
                sleeper.event(Event::Stopped, None);
            }
            dormouse_activate::Event::Frozen => sleeper.event(Event::Frozen, None),
            dormouse_activate::Event::FreezeFailed(error) => {
                let name = sleeper.name();
                self.driver.log.line(Level::Warning, format_args!("{name}: {error}"));
                sleeper.event(Event::FreezeFailed, None);
            }
            dormouse_activate::Event::Thawed => sleeper.event(Event::Thawed, None),
        }
    }

    fn look(&mut self, asked: bool) {
        let context = self.driver.context(&self.habits, false);
        self.probe = Some(self.habits.readiness.probe(&self.habits.route, &self.says, asked, context));
    }

    /// Nothing runs any more.
    fn over(&mut self) {
        self.probe = None;
        self.place = None;
        self.ours_again = false;
        if self.stale {
            self.renew();
        }
    }

    /// Replaces an activator whose task has ended unexpectedly.
    fn revive(&mut self) {
        let name = self.driver.sleeper.name();
        self.driver
            .log
            .line(Level::Err, format_args!("{name}: the waker ended unexpectedly, starting it anew."));
        self.renew();
        self.over();
        self.driver
            .sleeper
            .event(Event::Exited { failed: true }, Some("its waker ended unexpectedly".to_owned()));
    }

    /// Stops what we have started, and lets the activator end.
    async fn end(mut self) {
        let patience = self.habits.stop_timeout + Duration::from_secs(1);
        if self.driver.sleeper.is_ours_to_stop() {
            self.pass(Request::Stop).await;
            let stopped = async {
                while let Some(event) = self.activator.events.recv().await {
                    if matches!(event, dormouse_activate::Event::Stopped) {
                        break;
                    }
                }
            };
            let _ = tokio::time::timeout(patience, stopped).await;
        }
        drop(self.activator.requests);
        let mut events = self.activator.events;
        let ended = async { while events.recv().await.is_some() {} };
        let _ = tokio::time::timeout(patience, ended).await;
        self.activator.task.abort();
        drop(self.driver.gone);
    }
}

async fn answer(probe: &mut Option<Probe>) -> Option<dormouse_relay::Stream> {
    match probe {
        Some(probe) => probe.await,
        None => std::future::pending().await,
    }
}

async fn entered(entering: &mut Option<Entering>) -> (Arc<Group>, Place) {
    match entering {
        Some(entering) => entering.await,
        None => std::future::pending().await,
    }
}

async fn wanted_changes(group: Option<&Arc<Group>>, was: bool) -> bool {
    match group {
        Some(group) => group.wanted_changes(was).await,
        None => std::future::pending().await,
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
