//! One run of a program: from the order to start it until nothing of it is left.

use std::io;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::guarded::Guarded;
use super::notify::Ear;
use super::protocol::{Ask, Said};
use super::{Exec, failure};
use crate::process::{Ending, LastWords, Lines, environment, spawn_failure};
use crate::{Context, Line, News, Operation, Order, WakeError};

/// How long the last output of what has ended may take to arrive.
const OUTPUT: Duration = Duration::from_millis(500);
/// When we end ourselves, all of it has so long beyond the stop timeout; its guard stays behind if that is not enough.
const FAREWELL: Duration = Duration::from_secs(5);

/// What follows when nothing of it is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Orders.
    Orders,
    /// Another start, which was ordered before all of it was gone.
    Start,
    /// Nothing; there are no more orders.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its guard does not say yet whether it runs.
    Starting,
    Up,
    Freezing,
    Frozen,
    Thawing,
    /// It was told to stop; [`News::Stopped`] follows.
    Stopping,
    /// It failed, as was told; what it left behind is being ended.
    Clearing,
}

/// A program that runs, or is about to.
pub(super) struct Running<'a> {
    it: &'a Exec,
    context: &'a Context,
    news: &'a Sender<News>,
    guard: Guarded,
    output: Option<Lines>,
    ear: Option<Ear>,
    phase: Phase,
    /// It said that it is ready.
    ready: bool,
    /// After all is cleared.
    start_again: bool,
    /// There are no more orders; until when it is waited for.
    closed: Option<Instant>,
    last_words: LastWords,
}

/// How its guard ended.
enum End {
    /// It could not start the program.
    NotStarted(i32),
    /// Nothing is left of the program.
    Gone(Ending),
    /// Without a word.
    GuardLost,
    /// Not at all, in the time that there was.
    Overdue,
}

impl<'a> Running<'a> {
    /// Has a guard start it.
    pub(super) fn start(
        it: &'a Exec,
        context: &'a Context,
        news: &'a Sender<News>,
    ) -> Result<Self, WakeError> {
        let failed = |reason| failure(it, Operation::Start, reason);
        if let Some(directory) = it.directory.as_ref().filter(|directory| !directory.is_dir()) {
            let directory = directory.display();
            return Err(failed(format!(
                "its directory {directory} does not exist; create it, or name another"
            )));
        }
        let ear = if it.notify { Some(Ear::open()) } else { None }.transpose().map_err(|error| {
            failed(format!(
                "no socket for its notifications: {error}; see that /tmp or RuntimeDirectory= can be written"
            ))
        })?;
        let mut environment = environment(&context.name);
        environment.extend(ear.iter().map(|ear| ("NOTIFY_SOCKET".into(), ear.path().into())));
        environment.extend(it.environment.iter().cloned());
        let (guard, output) = Guarded::start(it, environment, context.stop_timeout).map_err(|error| {
            failed(format!("its guard: {}", spawn_failure("/proc/self/exe".as_ref(), &error)))
        })?;
        Ok(Self {
            it,
            context,
            news,
            guard,
            output: Some(output),
            ear,
            phase: Phase::Starting,
            ready: false,
            start_again: false,
            closed: None,
            last_words: LastWords::default(),
        })
    }

    /// Carries out orders until nothing of it is left.
    pub(super) async fn drive(mut self, orders: &mut Receiver<Order>) -> Next {
        let end = loop {
            tokio::select! {
                biased;
                order = orders.recv(), if self.closed.is_none() => self.obey(order).await,
                said = self.guard.hear() => match said {
                    Some(Said::Failed(errno)) => break End::NotStarted(errno),
                    Some(Said::Ended(ending)) => break End::Gone(ending),
                    Some(said) => self.heard(said).await,
                    None => break End::GuardLost,
                },
                told = hear(self.ear.as_ref()) => match told {
                    Some(told) => {
                        if let Some(status) = told.status {
                            self.tell(Line::Notice(&status));
                        }
                        if told.ready && !self.ready {
                            self.ready = true;
                            self.be_ready().await;
                        }
                    }
                    None => self.ear = None,
                },
                line = next(self.output.as_mut()) => match line {
                    Some(line) => self.output_line(&line),
                    None => self.output = None,
                },
                () = until(self.closed) => break End::Overdue,
            }
        };
        self.finish(end).await
    }

    async fn obey(&mut self, order: Option<Order>) {
        let clearing = self.phase == Phase::Clearing;
        match (order, self.phase) {
            (None, _) => {
                let time = self.context.stop_timeout.saturating_add(FAREWELL);
                let now = Instant::now();
                self.closed = Some(now.checked_add(time).unwrap_or(now));
                self.start_again = false;
                self.guard.ask(Ask::Stop).await;
                if !clearing {
                    self.phase = Phase::Stopping;
                }
            }
            (Some(Order::Start), Phase::Stopping | Phase::Clearing) => self.start_again = true,
            // Under way; the answer follows.
            (Some(Order::Start), Phase::Starting)
            | (Some(Order::Freeze), Phase::Freezing)
            | (Some(Order::Thaw), Phase::Thawing) => {}
            (Some(Order::Start), _) => self.news(News::Launched { foreign: false }).await,
            (Some(Order::Stop), _) => {
                self.start_again = false;
                self.phase = Phase::Stopping;
                self.guard.ask(Ask::Stop).await;
            }
            (Some(Order::Freeze), Phase::Up | Phase::Thawing) => {
                self.phase = Phase::Freezing;
                self.guard.ask(Ask::Freeze).await;
            }
            (Some(Order::Freeze), Phase::Frozen) => self.news(News::Frozen).await,
            (Some(Order::Freeze), Phase::Starting | Phase::Stopping | Phase::Clearing) => {
                let reason = "it does not run".to_owned();
                self.news(News::FreezeFailed(failure(self.it, Operation::Freeze, reason))).await;
            }
            (Some(Order::Thaw), Phase::Frozen | Phase::Freezing) => {
                self.phase = Phase::Thawing;
                self.guard.ask(Ask::Thaw).await;
            }
            (Some(Order::Thaw), _) => self.news(News::Thawed).await,
        }
    }

    async fn heard(&mut self, said: Said) {
        match (said, self.phase) {
            (Said::Started, Phase::Starting) => {
                self.phase = Phase::Up;
                self.news(News::Launched { foreign: false }).await;
                if self.ready {
                    self.news(News::Ready).await;
                }
            }
            (Said::Frozen, Phase::Freezing) => {
                self.phase = Phase::Frozen;
                self.news(News::Frozen).await;
            }
            (Said::Unfreezable(reason), Phase::Freezing) => {
                self.phase = Phase::Up;
                self.news(News::FreezeFailed(failure(self.it, Operation::Freeze, reason))).await;
            }
            (Said::Thawed, Phase::Thawing) => {
                self.phase = Phase::Up;
                self.news(News::Thawed).await;
            }
            (Said::MainEnded(ending), phase)
                if !ending.is_success() && phase != Phase::Stopping && phase != Phase::Clearing =>
            {
                self.fail(ending).await;
            }
            (Said::Warning(text), _) => self.tell(Line::Warning(&format!("{}: {text}", self.it))),
            // Answers to what is not wanted any more.
            _ => {}
        }
    }

    /// The program itself failed. What it left behind would only be in the way of the next start.
    async fn fail(&mut self, ending: Ending) {
        self.phase = Phase::Clearing;
        self.guard.ask(Ask::Stop).await;
        let error = self.ended_badly(ending);
        self.news(News::Exited(Err(error))).await;
    }

    async fn be_ready(&mut self) {
        match self.phase {
            Phase::Up | Phase::Freezing | Phase::Frozen | Phase::Thawing => self.news(News::Ready).await,
            // Told once it is known to run.
            Phase::Starting | Phase::Stopping | Phase::Clearing => {}
        }
    }

    async fn finish(mut self, end: End) -> Next {
        let answer = match end {
            End::Overdue => return Next::End,
            End::Gone(ending) => {
                self.drain().await;
                match self.phase {
                    Phase::Stopping => Some(News::Stopped),
                    Phase::Clearing => None,
                    _ if ending.is_success() => Some(News::Exited(Ok(()))),
                    _ => Some(News::Exited(Err(self.ended_badly(ending)))),
                }
            }
            End::NotStarted(errno) => {
                let error = io::Error::from_raw_os_error(errno);
                let program = self.it.argv.first().cloned().unwrap_or_default();
                let error = failure(self.it, Operation::Start, spawn_failure(&program, &error));
                Some(if self.phase == Phase::Stopping { News::Stopped } else { News::StartFailed(error) })
            }
            End::GuardLost => {
                self.drain().await;
                let reason = |what: &str| format!("its guard {what}{}", self.last_words);
                match self.phase {
                    Phase::Stopping => Some(News::Stopped),
                    Phase::Clearing => None,
                    Phase::Starting => Some(News::StartFailed(failure(
                        self.it,
                        Operation::Start,
                        reason("ended before it could start it; see whether memory or processes are short"),
                    ))),
                    _ => Some(News::Exited(Err(failure(
                        self.it,
                        Operation::Run,
                        reason(
                            "was killed, and so was all of it; see who did, the kernel's memory killer for one",
                        ),
                    )))),
                }
            }
        };
        let Self { guard, news, ear, .. } = self;
        drop(ear);
        if matches!(end, End::GuardLost) {
            guard.sweep().await;
        } else {
            guard.end().await;
        }
        if let Some(answer) = answer {
            let _ = news.send(answer).await;
        }
        match (self.closed, self.start_again) {
            (Some(_), _) => Next::End,
            (None, true) => Next::Start,
            (None, false) => Next::Orders,
        }
    }

    /// Takes what it wrote last.
    async fn drain(&mut self) {
        let deadline = Instant::now() + OUTPUT;
        while let Some(output) = &mut self.output {
            match timeout_at(deadline, output.next()).await {
                Ok(Some(line)) => self.output_line(&line),
                _ => self.output = None,
            }
        }
    }

    fn output_line(&mut self, line: &str) {
        self.last_words.hear(line);
        self.tell(Line::Output(line));
    }

    fn ended_badly(&self, ending: Ending) -> WakeError {
        failure(self.it, Operation::Run, format!("{ending}{}", self.last_words))
    }

    fn tell(&self, line: Line<'_>) {
        (self.context.tell)(line);
    }

    async fn news(&self, news: News) {
        // Whoever does not listen any more will close the orders, too.
        let _ = self.news.send(news).await;
    }
}

async fn hear(ear: Option<&Ear>) -> Option<super::notify::Told> {
    match ear {
        Some(ear) => ear.hear().await,
        None => std::future::pending().await,
    }
}

async fn next(output: Option<&mut Lines>) -> Option<String> {
    match output {
        Some(output) => output.next().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
