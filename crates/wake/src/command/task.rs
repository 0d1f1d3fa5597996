//! The task that runs the commands.

use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, sleep, sleep_until};

use super::Commands;
use super::job::{Job, Outcome, Readers};
use crate::process::Ending;
use crate::{Context, Line, News, Operation, Order, WakeError};

/// How often it is asked whether it runs, while it should.
const WHILE_UP: Duration = Duration::from_secs(5);
/// How often, while it should not.
const WHILE_DOWN: Duration = Duration::from_secs(30);
/// How long the answer may take.
const STATUS: Duration = Duration::from_secs(10);
/// How often it is asked after a stop, at first.
const SOON: Duration = Duration::from_millis(50);
/// …and in the end.
const LATER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Down,
    /// `seen`: the status command has said so, too.
    Up {
        seen: bool,
    },
    Frozen,
}

/// How a command went that an order may come in between of.
enum Ran {
    Ended(Outcome),
    /// It was ended by us: it is to be stopped.
    Stop,
    /// There are no more orders.
    Closed,
}

/// What the user's commands are run by.
pub(super) struct Task {
    it: Commands,
    context: Context,
    orders: Receiver<Order>,
    news: Sender<News>,
    readers: Readers,
    state: State,
    /// It runs because we have started it.
    ours: bool,
    /// It is frozen, or may be: by us before we ended, by half, or since it could not be thawed.
    frozen: bool,
    /// When the status is asked for next.
    ask: Instant,
    /// It was told that the status command does not work.
    complained: bool,
}

impl Task {
    pub(super) fn new(it: Commands, context: Context, orders: Receiver<Order>, news: Sender<News>) -> Self {
        let (readers, ask) = (Readers::new(), Instant::now());
        Self {
            ours: context.ours,
            frozen: context.ours && it.freeze.is_some() && it.thaw.is_some(),
            it,
            context,
            orders,
            news,
            readers,
            state: State::Down,
            ask,
            complained: false,
        }
    }

    /// Until there are no more orders.
    pub(super) async fn run(mut self) {
        loop {
            let watched = self.it.status.is_some() && self.state != State::Frozen;
            let order = tokio::select! {
                order = self.orders.recv() => order,
                () = sleep_until(self.ask), if watched => match self.look().await {
                    Some(order) => order,
                    None => continue,
                },
            };
            let Some(order) = order else { return };
            let answered = match order {
                Order::Start => self.start().await,
                Order::Stop => self.stop().await,
                Order::Freeze => self.freeze().await,
                Order::Thaw => self.thaw().await,
            };
            if !answered {
                return;
            }
            self.ask = Instant::now() + self.period();
        }
    }

    fn period(&self) -> Duration {
        if self.state == State::Down { WHILE_DOWN } else { WHILE_UP }
    }

    /// Sees whether it runs. An order, or the end of orders, that comes in between is given back.
    async fn look(&mut self) -> Option<Option<Order>> {
        let status = self.it.status.clone()?;
        if self.state == State::Down {
            self.thaw_if_frozen().await;
        }
        let runs = match Job::start(&status, &self.context, false) {
            Ok(mut job) => tokio::select! {
                outcome = job.wait_within(STATUS, &self.context, &mut self.readers) => self.judge(outcome),
                order = self.orders.recv() => return Some(order),
            },
            Err(outcome) => self.judge(outcome),
        };
        match (runs, self.state) {
            (Some(true), State::Down) => {
                self.state = State::Up { seen: true };
                self.tell(News::Running { foreign: !self.ours }).await;
            }
            (Some(true), State::Up { .. }) => self.state = State::Up { seen: true },
            (Some(false), State::Down) => self.gone(),
            // What was started and is not seen yet may still be on its way.
            (Some(false), State::Up { seen: true }) => {
                self.state = State::Down;
                self.ours = false;
                self.tell(News::Exited(Ok(()))).await;
            }
            _ => {}
        }
        self.ask = Instant::now() + self.period();
        None
    }

    /// What the status command says; `None` if it says nothing.
    fn judge(&mut self, outcome: Outcome) -> Option<bool> {
        match outcome {
            Outcome::Done => {
                self.complained = false;
                Some(true)
            }
            Outcome::Ended(Ending::Exited(_), _) => {
                self.complained = false;
                Some(false)
            }
            outcome => {
                if let (false, Some(reason)) = (self.complained, outcome.failure("status")) {
                    self.complained = true;
                    self.line(&Line::Warning(&format!("{}: {reason}", self.it)));
                }
                None
            }
        }
    }

    async fn start(&mut self) -> bool {
        // What is frozen may look like what does not run, and answers nobody.
        self.thaw_if_frozen().await;
        if let Some(status) = self.it.status.clone() {
            let outcome = match self.run_until_ordered(&status, Some(STATUS), false).await {
                Ran::Ended(outcome) => outcome,
                Ran::Stop => return self.stop().await,
                Ran::Closed => return false,
            };
            if self.judge(outcome) == Some(true) {
                self.state = State::Up { seen: true };
                return self.tell(News::Launched { foreign: !self.ours }).await;
            }
        }
        let start = self.it.start.clone();
        match self.run_until_ordered(&start, None, true).await {
            Ran::Ended(outcome) => match outcome.failure("start") {
                None => {
                    self.state = State::Up { seen: false };
                    self.ours = true;
                    self.frozen = false;
                    self.tell(News::Launched { foreign: false }).await
                }
                Some(reason) => {
                    self.state = State::Down;
                    self.tell(News::StartFailed(self.error(Operation::Start, reason))).await
                }
            },
            Ran::Stop => self.stop().await,
            Ran::Closed => false,
        }
    }

    async fn stop(&mut self) -> bool {
        // Hardly anything can be stopped while it is frozen.
        self.thaw_if_frozen().await;
        self.gone();
        if self.it.stop.is_none() {
            self.line(&Line::Notice(&format!("{} has no stop command and is left running", self.it)));
            return self.tell(News::Stopped).await;
        }
        let deadline = Instant::now() + self.context.stop_timeout;
        match self.run_bounded(self.it.stop.clone(), "stop").await {
            None => self.wait_until_down(deadline).await,
            Some(reason) => self.line(&Line::Warning(&format!("{}: {reason}", self.it))),
        }
        self.tell(News::Stopped).await
    }

    /// A stop command may return before all is down; where there is a status command, that tells.
    async fn wait_until_down(&mut self, deadline: Instant) {
        let Some(status) = self.it.status.clone() else { return };
        let mut pause = SOON;
        loop {
            let outcome = match Job::start(&status, &self.context, false) {
                Ok(mut job) => job.wait_within(STATUS, &self.context, &mut self.readers).await,
                Err(outcome) => outcome,
            };
            if self.judge(outcome) != Some(true) {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let text = format!("{} still runs after its stop command, by its status command", self.it);
                return self.line(&Line::Warning(&text));
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(LATER);
        }
    }

    async fn freeze(&mut self) -> bool {
        let (Some(freeze), true) = (self.it.freeze.clone(), self.it.thaw.is_some()) else {
            let reason = "it has no freeze and thaw commands; add them, or leave idle.freeze out".to_owned();
            return self.tell(News::FreezeFailed(self.error(Operation::Freeze, reason))).await;
        };
        self.frozen = true;
        match self.run_until_ordered(&freeze, Some(self.context.stop_timeout), true).await {
            Ran::Ended(outcome) => match outcome.failure("freeze") {
                None => {
                    self.state = State::Frozen;
                    self.tell(News::Frozen).await
                }
                Some(reason) => {
                    // It may be frozen by half.
                    self.thaw_if_frozen().await;
                    self.tell(News::FreezeFailed(self.error(Operation::Freeze, reason))).await
                }
            },
            Ran::Stop => self.stop().await,
            Ran::Closed => false,
        }
    }

    async fn thaw(&mut self) -> bool {
        let Some(thaw) = self.it.thaw.clone().filter(|_| self.frozen) else {
            return self.tell(News::Thawed).await;
        };
        match self.run_until_ordered(&thaw, Some(self.context.stop_timeout), true).await {
            Ran::Ended(outcome) => match outcome.failure("thaw") {
                None => {
                    self.frozen = false;
                    self.state = State::Up { seen: false };
                    self.tell(News::Thawed).await
                }
                Some(reason) => {
                    // It is of no use to anybody like this; the next start tries again.
                    self.state = State::Down;
                    self.tell(News::Exited(Err(self.error(Operation::Thaw, reason)))).await
                }
            },
            Ran::Stop => self.stop().await,
            Ran::Closed => false,
        }
    }

    /// Thaws what may be frozen. If that fails it is tried again with the next order.
    async fn thaw_if_frozen(&mut self) {
        if !self.frozen {
            return;
        }
        let Some(reason) = self.run_bounded(self.it.thaw.clone(), "thaw").await else {
            self.frozen = false;
            return;
        };
        if self.state == State::Down {
            let text = format!("{}: in case that it is frozen it was to be thawed: {reason}", self.it);
            self.line(&Line::Notice(&text));
        } else {
            self.line(&Line::Warning(&format!("{}: {reason}", self.it)));
        }
    }

    /// Nothing of it is there any more, frozen or not.
    fn gone(&mut self) {
        self.state = State::Down;
        self.ours = false;
        self.frozen = false;
    }

    /// Runs a command that the order to stop ends.
    async fn run_until_ordered(
        &mut self,
        argv: &[std::ffi::OsString],
        limit: Option<Duration>,
        heard: bool,
    ) -> Ran {
        let mut job = match Job::start(argv, &self.context, heard) {
            Ok(job) => job,
            Err(outcome) => return Ran::Ended(outcome),
        };
        let deadline = limit.map(|limit| (Instant::now() + limit, limit));
        loop {
            let order = tokio::select! {
                outcome = job.wait(&self.context, &mut self.readers) => return Ran::Ended(outcome),
                order = self.orders.recv() => order,
                () = until(deadline) => {
                    job.wait_within(Duration::ZERO, &self.context, &mut self.readers).await;
                    return Ran::Ended(Outcome::Overdue(limit.unwrap_or_default()));
                }
            };
            match order {
                Some(Order::Stop) => {
                    job.end(&self.context, &mut self.readers).await;
                    return Ran::Stop;
                }
                // Orders that come at the wrong time.
                Some(Order::Start | Order::Freeze | Order::Thaw) => {}
                None => {
                    job.leave();
                    return Ran::Closed;
                }
            }
        }
    }

    /// Runs a command that nothing comes in between of; why it failed.
    async fn run_bounded(&mut self, argv: Option<Vec<std::ffi::OsString>>, which: &str) -> Option<String> {
        let argv = argv?;
        let outcome = match Job::start(&argv, &self.context, true) {
            Ok(mut job) => job.wait_within(self.context.stop_timeout, &self.context, &mut self.readers).await,
            Err(outcome) => outcome,
        };
        outcome.failure(which)
    }

    /// Whether anybody listens.
    async fn tell(&mut self, news: News) -> bool {
        self.news.send(news).await.is_ok()
    }

    fn line(&self, line: &Line<'_>) {
        (self.context.tell)(*line);
    }

    fn error(&self, operation: Operation, reason: String) -> WakeError {
        WakeError { what: self.it.to_string(), operation, reason }
    }
}

async fn until(deadline: Option<(Instant, Duration)>) {
    match deadline {
        Some((deadline, _)) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
