//! The task that owns a server that sleeps: carries out what the machine wants, and tells it what came of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_core::service::{Event, Eviction};
use dormouse_core::warm::{WarmWindow, is_warm};
use dormouse_log::{Level, Log};
use dormouse_wake::{Context, Line, News, Order, Wake, Waker};
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
    pub(super) wake: Wake,
    pub(super) route: Arc<Route>,
    pub(super) readiness: Readiness,
    pub(super) stop_timeout: Duration,
    pub(super) keep_warm: Vec<WarmWindow>,
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
            waker: dormouse_wake::spawn(habits.wake.clone(), self.context(&habits, self.ours)),
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

    fn context(&self, habits: &Habits, ours: bool) -> Context {
        let (name, log) = (self.sleeper.name().to_owned(), self.log.clone());
        let tell = Arc::new(move |line: Line<'_>| match line {
            Line::Output(text) => log.line(Level::Info, format_args!("{name}| {text}")),
            Line::Notice(text) => log.line(Level::Notice, format_args!("{name}: {text}")),
            Line::Warning(text) => log.line(Level::Warning, format_args!("{name}: {text}")),
        });
        Context { name: self.sleeper.name().to_owned(), stop_timeout: habits.stop_timeout, ours, tell }
    }
}

struct Drive {
    driver: Driver,
    habits: Arc<Habits>,
    waker: Waker,
    /// The waker is one of former habits, and is replaced when nothing runs.
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
            while let Some(order) = sleeper.next_order() {
                self.order(order).await;
            }
            let group = self.place.as_ref().map(|(group, _)| group);
            tokio::select! {
                () = sleeper.nudge.notified() => {}
                news = self.waker.news.recv() => match news {
                    Some(news) => self.hear(news),
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
                    self.pass(Order::Start).await;
                }
                wanted = wanted_changes(group, self.evicted) => {
                    self.evicted = wanted;
                    sleeper.evict(Eviction::Group, wanted);
                }
                () = at(due) => {}
                () = &mut self.wall_clock, if !self.habits.keep_warm.is_empty() => {
                    let (day, minute) = dormouse_sys::local_time::weekday_and_minute();
                    sleeper.keep_warm(is_warm(&self.habits.keep_warm, day, minute));
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
            sleeper.evict(Eviction::Changed, true);
        }
    }

    /// A waker of the present habits. The one before ends as its orders do.
    fn renew(&mut self) {
        self.stale = false;
        let context = self.driver.context(&self.habits, false);
        self.waker = dormouse_wake::spawn(self.habits.wake.clone(), context);
    }

    async fn order(&mut self, order: Order) {
        match order {
            Order::Start => {
                self.says = Arc::new(Notify::new());
                self.evicted = false;
                if let (Some(group), None) = (&self.habits.group, &self.place) {
                    let group = Arc::clone(group);
                    self.entering = Some(Box::pin(async move { (Arc::clone(&group), group.enter().await) }));
                    return;
                }
            }
            Order::Stop if self.entering.is_some() => {
                // It never came to start.
                self.entering = None;
                self.driver.sleeper.event(Event::Stopped, None);
                return;
            }
            Order::Stop => self.probe = None,
            Order::Freeze | Order::Thaw => {}
        }
        self.pass(order).await;
    }

    async fn pass(&mut self, order: Order) {
        // A waker takes its orders at once; one that has died shows at its news.
        let _ = self.waker.orders.send(order).await;
    }

    fn hear(&mut self, news: News) {
        let sleeper = Arc::clone(&self.driver.sleeper);
        match news {
            News::Launched { foreign } => {
                if foreign {
                    sleeper.found_running();
                }
                self.look(true);
            }
            News::Running { foreign } => {
                self.ours_again = !foreign;
                self.look(false);
            }
            News::Ready => self.says.notify_one(),
            News::StartFailed(error) => {
                self.over();
                sleeper.event(Event::StartFailed, Some(error.to_string()));
            }
            News::Exited(how) => {
                let event = Event::Exited { failed: how.is_err() };
                let reason = match how {
                    Err(error) => Some(error.to_string()),
                    Ok(()) if sleeper.is_starting() => Some(too_early(&self.habits.wake).to_owned()),
                    Ok(()) => None,
                };
                self.over();
                sleeper.event(event, reason);
            }
            News::Stopped => {
                // Where it took so long that it was given up, the start behind it has the place now.
                if !sleeper.is_starting() || self.entering.is_some() {
                    self.over();
                }
                sleeper.event(Event::Stopped, None);
            }
            News::Frozen => sleeper.event(Event::Frozen, None),
            News::FreezeFailed(error) => {
                let name = sleeper.name();
                self.driver.log.line(Level::Warning, format_args!("{name}: {error}"));
                sleeper.event(Event::FreezeFailed, None);
            }
            News::Thawed => sleeper.event(Event::Thawed, None),
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

    /// The waker's task has ended although it had no reason to.
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

    /// Stops what we have started, and lets the waker end.
    async fn end(mut self) {
        let patience = self.habits.stop_timeout + Duration::from_secs(1);
        if self.driver.sleeper.is_ours_to_stop() {
            self.pass(Order::Stop).await;
            let stopped = async {
                while let Some(news) = self.waker.news.recv().await {
                    if matches!(news, News::Stopped) {
                        break;
                    }
                }
            };
            let _ = tokio::time::timeout(patience, stopped).await;
        }
        drop(self.waker.orders);
        let mut news = self.waker.news;
        let ended = async { while news.recv().await.is_some() {} };
        let _ = tokio::time::timeout(patience, ended).await;
        self.waker.task.abort();
        drop(self.driver.gone);
    }
}

/// Why a start failed though what was started ended in good order.
fn too_early(wake: &Wake) -> &'static str {
    match wake {
        Wake::Exec(_) => {
            "it exited with code 0 before it was ready; exec takes the server itself, what has somebody else start it is \
             woken with start (commands), unit or container"
        }
        Wake::Unit(_) | Wake::Container(_) | Wake::Command(_) | Wake::Lan(_) => {
            "it ended in good order before it was ready; its own log may say why"
        }
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
