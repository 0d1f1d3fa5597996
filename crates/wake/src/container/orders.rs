//! The orders of a container, as requests to its engine.

use std::time::Duration;

use hyper::{Method, StatusCode};
use tokio::sync::watch as signal;
use tokio::time::{Instant, sleep};

use super::engine::{EngineError, PROMPT, encode};
use super::inspect::{Doing, Inspection};
use super::task::{NOTICE, QUICKEST, SLOWEST, Task};
use crate::{Line, Operation, WakeError};

/// How long the engine may take for a start: it may have to mount an image and make a network first.
const START: Duration = Duration::from_secs(120);
/// An engine that is started again is waited for so long, and one whose socket does not even exist less.
const RESTART: Duration = Duration::from_secs(20);
const ABSENCE: Duration = Duration::from_secs(3);

/// What belonged to a container (a network, a port) may be in the way of its next start for so long after its end.
const AFTERMATH: Duration = Duration::from_secs(10);

/// Turns true when the order is not wanted any more.
pub(super) type Cancelled = signal::Receiver<bool>;

impl Task {
    /// Gives whether somebody else had started it.
    pub(super) async fn start(&mut self, mut cancelled: Cancelled) -> Result<bool, WakeError> {
        let mut patience = Patience::after(self.last_end);
        let mut posted = false;
        loop {
            match self.try_start(&mut posted).await {
                Ok(foreign) => return Ok(foreign),
                Err(Trouble::Engine(error)) if patience.has_time_for(&error, posted) => {
                    self.clear_away(&error, &mut patience).await;
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
            Doing::Runs => Ok(!*posted && !std::mem::take(&mut self.ours)),
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

    /// Goes on with one that was paused, if that can be done.
    pub(super) async fn unpause(&mut self) {
        // If not, an order will tell why.
        let _ = self.post("unpause", PROMPT).await;
    }

    /// After a start that failed within the engine.
    async fn clear_away(&mut self, error: &EngineError, patience: &mut Patience) {
        if !error.is_internal() {
            return;
        }
        if !std::mem::replace(&mut patience.told, true) {
            self.notice(&format!(
                "not yet: {error}; its last run has left something behind, so it is tried again"
            ));
        }
        // Its process waits for a start that was given already: the engine will not find its way out by itself.
        let seen = Inspection::of(&mut self.engine, &self.it.name).await;
        if seen.is_ok_and(|seen| seen.is_half_started()) {
            let _ = self.post("stop?t=0", PROMPT).await;
        }
    }

    pub(super) async fn stop(&mut self) {
        let mut patience = Patience::of(RESTART.min(self.context.stop_timeout));
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

    pub(super) async fn freeze(&mut self) -> Result<(), WakeError> {
        let Err(error) = self.post("pause", PROMPT).await else { return Ok(()) };
        match Inspection::of(&mut self.engine, &self.it.name).await {
            Ok(seen) if seen.doing() == Doing::Paused => Ok(()),
            _ => Err(self.error(Operation::Freeze, &error)),
        }
    }

    pub(super) async fn thaw(&mut self, mut cancelled: Cancelled) -> Result<(), WakeError> {
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
    limit: Duration,
    pause: Duration,
    /// The engine was cut off in the middle of the work.
    interrupted: bool,
    /// Until when an error may come from the end of the last run.
    aftermath: Option<Instant>,
    /// That it takes patience was told.
    told: bool,
}

impl Patience {
    fn new() -> Self {
        Self::of(RESTART)
    }

    fn of(limit: Duration) -> Self {
        Self {
            since: Instant::now(),
            limit,
            pause: QUICKEST,
            interrupted: false,
            aftermath: None,
            told: false,
        }
    }

    /// For a start after this end of the run before.
    fn after(last_end: Option<Instant>) -> Self {
        let now = Instant::now();
        let recent = last_end.is_some_and(|end| now < end + AFTERMATH);
        Self { aftermath: recent.then(|| now + AFTERMATH), ..Self::new() }
    }

    /// Whether it is worth another try. `at_work`: the engine had begun to do it.
    fn has_time_for(&mut self, error: &EngineError, at_work: bool) -> bool {
        self.interrupted |= at_work && error.passes();
        let limit = if error.is_absent() { ABSENCE.min(self.limit) } else { self.limit };
        // One that was killed in the middle finds its own half of the work in its way, and clears it away as it fails.
        let left_over =
            self.interrupted || self.aftermath.is_some_and(|end| Instant::now() + self.pause < end);
        let passes = error.passes() || (left_over && error.is_internal());
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
