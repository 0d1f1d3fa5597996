//! What a wakeable server keeps under its lock: the core's machine, and the clients that wait for it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_activate::Request;
use dormouse_core::activation::{Action, LeaseRefusal, Pause, Policy, State, StateMachine, WaiterId};
use dormouse_core::plural::counted;
use dormouse_log::{Level, Log};
use dormouse_relay::Stream;
use tokio::sync::oneshot;

use crate::stats::wake::{WakeCounters, WokenBy};

/// What a wakeable server keeps under its lock.
#[derive(Debug)]
pub(super) struct ServerState {
    pub(super) machine: StateMachine,
    /// The waiting clients, and since when each waits.
    pub(super) waiters: HashMap<WaiterId, (oneshot::Sender<LeaseAnswer>, Instant)>,
    /// The requests to the activator. The machine has at most one under way, and a stop behind it.
    pub(super) requests: VecDeque<Request>,
    /// When the driver next lets the machine do what is due.
    pub(super) armed: Option<Instant>,
    /// The number of the server's run: how often it has stopped.
    pub(super) run: u32,
    /// Whether the server has sent a byte since its start.
    pub(super) has_sent: bool,
    /// The connection that showed that the server is ready, for the first client.
    pub(super) ready_conn: Option<Stream>,
    /// Why the last start failed, or the server ended.
    pub(super) reason: Option<Arc<str>>,
    /// What stands in the way of the start in progress, although the workload may run.
    pub(super) start_problem: Option<Arc<str>>,
    /// The state that was last written to the log.
    reported: State,
    /// Whether processes that dormouse has started may exist: from the start until the activator reports the end, also
    /// after a stop that took too long and was given up.
    pub(super) owned: bool,
    /// The activator has reported the end of the last run.
    pub(super) has_ended: bool,
    /// When the last start began.
    start_began: Instant,
    /// How long the last successful start took.
    pub(super) cold_start: Option<Duration>,
}

/// The answer to a waiting client: the number of the run, and the connection for the first client; or a refusal.
pub(super) type LeaseAnswer = Result<(u32, Option<Stream>), LeaseRefusal>;

impl ServerState {
    pub(super) fn new(policy: Policy, now: Instant) -> Self {
        let machine = StateMachine::new(policy, now);
        Self {
            reported: machine.state(),
            owned: false,
            has_ended: true,
            machine,
            waiters: HashMap::new(),
            requests: VecDeque::new(),
            armed: None,
            run: 0,
            has_sent: false,
            ready_conn: None,
            reason: None,
            start_problem: None,
            start_began: now,
            cold_start: None,
        }
    }

    /// Returns whether the server runs, or is about to.
    pub(super) fn is_running(&self) -> bool {
        !matches!(self.machine.state(), State::Stopped | State::Failed)
    }

    /// Updates after a step whether processes that dormouse has started may exist. Returns whether that has changed.
    pub(super) fn update_owned(&mut self) -> bool {
        let owned = if self.is_running() {
            self.has_ended = false;
            !self.machine.is_foreign()
        } else {
            self.owned && !self.has_ended
        };
        std::mem::replace(&mut self.owned, owned) != owned
    }

    /// Returns whether the driver has to act earlier than it expects.
    pub(super) fn is_due_earlier(&self) -> bool {
        let due = self.machine.deadline();
        due.is_some_and(|due| self.armed.is_none_or(|armed| due < armed))
    }

    /// Carries out an action. Returns whether the driver has a new request. Actions that follow are added to `further`.
    pub(super) fn carry_out(
        &mut self,
        now: Instant,
        action: Action,
        counters: &WakeCounters,
        by: WokenBy,
        further: &mut Vec<Action>,
    ) -> bool {
        let request = match action {
            Action::Grant(waiter) => {
                let answer = Ok((self.run, self.ready_conn.take()));
                let span = self
                    .waiters
                    .remove(&waiter)
                    .and_then(|(sender, since)| sender.send(answer).ok().map(|()| now.duration_since(since)));
                match span {
                    Some(span) => counters.holds.add(span),
                    // The client has left.
                    None => self.machine.release(now, true, further),
                }
                return false;
            }
            Action::Refuse(waiter, refusal) => {
                if let Some((sender, _)) = self.waiters.remove(&waiter) {
                    counters.failed_holds.inc();
                    // A client that has just left needs no answer.
                    let _ = sender.send(Err(refusal));
                }
                return false;
            }
            Action::Start => {
                counters.count_wake(by);
                self.has_sent = false;
                self.start_began = now;
                self.reason = None;
                self.start_problem = None;
                Request::Start
            }
            Action::Stop => Request::Stop,
            Action::Freeze => Request::Freeze,
            Action::Thaw => {
                counters.count_wake(by);
                Request::Thaw
            }
        };
        self.requests.push_back(request);
        true
    }

    /// Writes a change of the state to the log, and counts it.
    pub(super) fn report(&mut self, name: &str, log: &Log, counters: &WakeCounters, now: Instant) {
        let (before, state) = (self.reported, self.machine.state());
        if state == before {
            return;
        }
        self.reported = state;
        counters.record_state(state, now);
        // The sessions' own lines report most of these.
        let routine = matches!(
            (before, state),
            (State::Ready, State::Idle)
                | (State::Idle, State::Ready)
                | (State::Freezing | State::Thawing, State::Ready | State::Idle)
        );
        let level = if routine { Level::Debug } else { Level::Info };
        match state {
            State::Starting => {
                let clients = counted(self.machine.held(), "client waits", "clients wait");
                log.line(level, format_args!("{name}: {before} → {state}, {clients}."));
            }
            State::Ready | State::Idle if before == State::Starting => {
                let took = now.duration_since(self.start_began);
                self.cold_start = Some(took);
                self.start_problem = None;
                counters.cold_starts.add(took);
                log.line(level, format_args!("{name}: {state} after {:.3} s.", took.as_secs_f64()));
            }
            // A start that failed, or that takes too long and is given up. What follows a start that was given up was
            // reported then.
            State::Failed | State::Stopping
                if before == State::Starting || state == State::Failed && before != State::Stopping =>
            {
                counters.failed_starts.inc();
                let pause = self.machine.pause();
                let waited = now.duration_since(self.start_began).as_secs_f64();
                let late = || Arc::from(format!("it was not ready within {waited:.1} s (start_timeout)"));
                let reason = match (self.reason.take(), pause) {
                    (Some(why), Some(pause)) => format!("{}; {why}", ended_at_once(pause)).into(),
                    (None, Some(pause)) => ended_at_once(pause).into(),
                    (Some(why), None) => why,
                    (None, None) => late(),
                };
                let reason = match self.start_problem.take() {
                    Some(problem) => format!("{reason}; {problem}").into(),
                    None => reason,
                };
                let reason = self.reason.insert(reason);
                // The pauses that follow the first one are no news.
                let level = if pause.is_some_and(|pause| !pause.is_first) { Level::Info } else { Level::Err };
                log.line(level, format_args!("{name}: {before} → {state}: {reason}"));
            }
            // The reason of a failed start was reported then.
            State::Stopped if self.reason.is_some() && !matches!(before, State::Stopping | State::Failed) => {
                let reason = self.reason.as_deref().unwrap_or_default();
                log.line(Level::Warning, format_args!("{name}: {before} → {state}: {reason}"));
            }
            _ => log.line(level, format_args!("{name}: {before} → {state}.")),
        }
    }
}

/// Describes a pause after runs that ended at once.
fn ended_at_once(Pause { runs, .. }: Pause) -> String {
    format!(
        "{runs} runs in a row ended as soon as they were ready, without an answer to a client; clients are held until the \
         next start, which waits for a backoff"
    )
}
