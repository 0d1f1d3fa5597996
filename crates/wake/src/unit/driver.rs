//! Carries out orders, and tells what becomes of the unit.

mod reach;
mod stop;

use std::time::Duration;

use dormouse_core::backoff::Backoff;
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};

use super::Unit;
use super::dbus::Value;
use super::link::{Link, Trouble, UNIT};
use super::reason;
use super::state::{Phase, Seen};
use crate::{Context, Line, News, Operation, WakeError};

/// How long an order waits for a manager that is away: less than clients are held by default.
const AWAY: Duration = Duration::from_secs(20);
/// When a job has vanished and its end has not come: how long until the unit is looked at again.
const LATE: Duration = Duration::from_secs(1);

pub(super) struct Driver {
    unit: Unit,
    context: Context,
    news: Sender<News>,
    link: Option<Link>,
    /// Between tries to reach the manager.
    backoff: Backoff,
    /// The manager was there once.
    known: bool,
    /// It has been said that it is away.
    mourned: bool,
    told: Told,
    /// It runs because we have started it.
    ours: bool,
}

/// What was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It does not run.
    Down,
    /// It was launched, and may still be starting.
    Launched,
    /// It runs.
    Up,
}

impl Driver {
    pub(super) fn new(unit: Unit, context: Context, news: Sender<News>) -> Self {
        Self {
            ours: context.ours,
            unit,
            context,
            news,
            link: None,
            backoff: Backoff::new(Duration::from_millis(20), Duration::from_secs(5)),
            known: false,
            mourned: false,
            told: Told::Down,
        }
    }

    /// Waits until something changes, and tells what. To be called again and again; may be given up at any time.
    pub(super) async fn watch(&mut self) {
        let watched = match &self.link {
            Some(link) => link.changed().await,
            None => self.connect().await,
        };
        let watched = match watched {
            Ok(()) => self.notice().await,
            trouble => trouble,
        };
        match watched {
            Ok(()) => {}
            Err(Trouble::Away(reason)) => self.lose(&reason),
            // Not even its state may be asked for, or it is no unit at all: an order will tell.
            Err(Trouble::Refused { .. }) => sleep(LATE).await,
        }
    }

    /// Starts it.
    pub(super) async fn start(&mut self) {
        let started = loop {
            if let Err(reason) = self.reach(AWAY).await {
                break Err(reason);
            }
            match self.try_start().await {
                Err(Trouble::Away(reason)) => self.lose(&reason),
                Ok(started) => break started,
                Err(Trouble::Refused { name, text }) => break Err(reason::refusal(&self.unit, &name, &text)),
            }
        };
        if let Err(reason) = started {
            self.ours = false;
            self.tell(News::StartFailed(self.error(Operation::Start, reason))).await;
            self.told = Told::Down;
        }
    }

    /// Freezes it.
    pub(super) async fn freeze(&mut self) {
        let limit = self.context.stop_timeout;
        let frozen = match timeout(limit, self.order("FreezeUnit")).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Trouble::Away(reason))) => Err(reason),
            Ok(Err(Trouble::Refused { name, text })) => Err(reason::refusal(&self.unit, &name, &text)),
            Err(_) => {
                // It may be on its way nevertheless.
                let _ = timeout(limit, self.order("ThawUnit")).await;
                Err(format!("it was not frozen within {} s", limit.as_secs_f32()))
            }
        };
        match frozen {
            Ok(()) => self.tell(News::Frozen).await,
            Err(reason) => {
                self.tell(News::FreezeFailed(self.error(Operation::Freeze, reason))).await;
            }
        }
    }

    /// Thaws it.
    pub(super) async fn thaw(&mut self) {
        let limit = self.context.stop_timeout;
        let thawed = match timeout(limit, self.order("ThawUnit")).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Trouble::Away(reason))) => Err(reason),
            Ok(Err(Trouble::Refused { name, text })) => Err(reason::refusal(&self.unit, &name, &text)),
            Err(_) => Err(format!("it was not thawed within {} s", limit.as_secs_f32())),
        };
        match thawed {
            Ok(()) => self.tell(News::Thawed).await,
            // Whoever waits for it has nothing to wait for; if it has ended, that is why.
            Err(reason) => {
                self.tell(News::Exited(Err(self.error(Operation::Thaw, reason)))).await;
                self.told = Told::Down;
            }
        }
    }

    async fn order(&mut self, method: &str) -> Result<(), Trouble> {
        loop {
            self.reach(AWAY).await.map_err(Trouble::Away)?;
            match self.link()?.order(method).await {
                Err(Trouble::Away(reason)) => self.lose(&reason),
                done => return done,
            }
        }
    }

    /// `Ok(Err(…))`: it cannot be started.
    async fn try_start(&mut self) -> Result<Result<(), String>, Trouble> {
        let mut asked = None;
        loop {
            let seen = self.link()?.look().await?;
            if seen.load != "loaded" && seen.phase() != Phase::Up {
                return Ok(Err(self.why_not_loaded(&seen).await?));
            }
            match seen.phase() {
                Phase::Up if !seen.is_to_stop() => {
                    self.thaw_if_frozen().await?;
                    self.launched(Told::Up).await;
                    self.tell(News::Ready).await;
                    return Ok(Ok(()));
                }
                Phase::Rising | Phase::Restarting if !seen.is_to_stop() => {
                    self.launched(Told::Launched).await;
                    return Ok(Ok(()));
                }
                // Whoever stops it is let finish; it goes up again as soon as it is down.
                Phase::Up | Phase::Falling | Phase::Rising | Phase::Restarting => {
                    self.link()?.changed().await?;
                }
                Phase::Down | Phase::Failed => match &asked {
                    None => {
                        let link = self.link()?;
                        // What starts when somebody connects has a backoff of its own; the manager's limit on starts
                        // would close it for good.
                        let _ = link.order("ResetFailedUnit").await;
                        asked = Some(link.enqueue("StartUnit").await?);
                        self.ours = true;
                    }
                    Some(job) => {
                        let link = self.link()?;
                        if let Some(result) = link.ended(job) {
                            // Its end may be older than its job's.
                            let seen = link.look().await?;
                            if matches!(seen.phase(), Phase::Down | Phase::Failed) {
                                return Ok(Err(reason::of_start(link, &self.unit, &seen, &result).await?));
                            }
                        } else if seen.job.is_some() {
                            link.changed().await?;
                        } else if let Ok(lost) = timeout(LATE, link.changed()).await {
                            lost?;
                        } else {
                            return Ok(Err(reason::of_start(link, &self.unit, &seen, "").await?));
                        }
                    }
                },
            }
        }
    }

    async fn launched(&mut self, told: Told) {
        self.tell(News::Launched { foreign: !self.ours }).await;
        self.told = told;
    }

    async fn thaw_if_frozen(&self) -> Result<(), Trouble> {
        if self.is_frozen().await? { self.link()?.order("ThawUnit").await } else { Ok(()) }
    }

    async fn is_frozen(&self) -> Result<bool, Trouble> {
        // Managers before 246 freeze nothing.
        let state = self.link()?.property(UNIT, "FreezerState").await?;
        Ok(matches!(state, Some(Value::Text(state)) if state != "running"))
    }

    async fn why_not_loaded(&self, seen: &Seen) -> Result<String, Trouble> {
        reason::not_loaded(self.link()?, &self.unit, seen).await
    }

    /// Looks at the unit, and tells what is new.
    async fn notice(&mut self) -> Result<(), Trouble> {
        let link = self.link()?;
        let seen = link.look().await?;
        match (self.told, seen.phase()) {
            (Told::Down, Phase::Up) if !seen.is_to_stop() => {
                if self.ours {
                    // We may have frozen it before we ended.
                    self.thaw_if_frozen().await?;
                } else if self.is_frozen().await? {
                    // It takes connections and answers none of them: whoever wants it starts it, which thaws it.
                    return Ok(());
                }
                self.tell(News::Running { foreign: !self.ours }).await;
                self.told = Told::Launched;
                self.tell(News::Ready).await;
                self.told = Told::Up;
            }
            (Told::Launched, Phase::Up) => {
                self.tell(News::Ready).await;
                self.told = Told::Up;
            }
            (Told::Launched, Phase::Rising | Phase::Restarting)
            | (Told::Up, Phase::Up)
            | (Told::Down, Phase::Up | Phase::Rising | Phase::Restarting) => {}
            (Told::Down, Phase::Down | Phase::Failed | Phase::Falling) => self.ours = false,
            // Its manager starts it again: whoever wants it waits for that, and nobody else is told of a failure.
            (Told::Up, Phase::Rising | Phase::Restarting) => {
                let reason = reason::of_end(link, &self.unit).await?;
                if let Err(reason) = reason {
                    self.warn(&format!(
                        "{}; its manager starts it again",
                        self.error(Operation::Run, reason)
                    ));
                }
                self.exited(Ok(())).await;
            }
            (told @ (Told::Up | Told::Launched), Phase::Falling | Phase::Down | Phase::Failed) => {
                let reason = match reason::of_end(link, &self.unit).await? {
                    Ok(()) if told == Told::Launched => Err(reason::too_early(&self.unit, &seen)),
                    reason => reason,
                };
                if reason.is_ok() {
                    self.note(&format!("{} was stopped, not by us", self.unit));
                }
                self.ours = false;
                self.exited(reason).await;
            }
        }
        Ok(())
    }

    async fn exited(&mut self, how: Result<(), String>) {
        let how = how.map_err(|reason| self.error(Operation::Run, reason));
        self.tell(News::Exited(how)).await;
        self.told = Told::Down;
    }

    fn error(&self, operation: Operation, reason: String) -> WakeError {
        WakeError { what: self.unit.to_string(), operation, reason }
    }

    /// Whoever does not listen any more drops the orders, too.
    async fn tell(&self, news: News) {
        let _ = self.news.send(news).await;
    }

    fn note(&self, line: &str) {
        (self.context.tell)(Line::Notice(line));
    }

    fn warn(&self, line: &str) {
        (self.context.tell)(Line::Warning(line));
    }
}
