//! A server that sleeps until somebody connects: the state machine of the core, and those who wait for it.
//!
//! Sessions and the driver (its task) meet here. A client that finds the server awake gets its lease without a word to
//! the driver.

mod lease;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_activate::Request;
use dormouse_core::activation::{
    Action, AdminError, Event, Eviction, LeaseResponse, Policy, Refusal, Snapshot, State, StateMachine,
    WaiterId,
};
use dormouse_log::{Level, Log};
use dormouse_relay::Stream;
use tokio::sync::{Notify, oneshot, watch};

use crate::stats::wake::{WakeCounters, WokenBy};
pub use lease::Lease;
pub(super) use lease::Ticket;

/// A server that sleeps.
#[derive(Debug)]
pub struct Sleeper {
    /// Its name in the log.
    name: String,
    log: Log,
    /// What is counted of it.
    pub counters: WakeCounters,
    inner: Mutex<Inner>,
    /// The driver has something to do.
    pub(super) nudge: Notify,
    /// Tells of the run that has begun when the server went away. Leases from before are of no use then.
    run: watch::Sender<u32>,
    /// Somebody who waited does not any more.
    pub(super) room: Arc<Notify>,
    /// What we have woken is other than it was.
    woken: Arc<Notify>,
}

#[derive(Debug)]
struct Inner {
    machine: StateMachine,
    waiters: HashMap<WaiterId, Waiter>,
    /// What the waker is to be told. The machine has at most one order under way, and a stop behind it.
    orders: VecDeque<Request>,
    /// When the driver looks after the machine next.
    armed: Option<Instant>,
    /// How often the server went away: the number of its run.
    run: u32,
    /// The server has said something since it was started.
    proven: bool,
    /// The connection that showed that the server is ready, for the first client.
    first: Option<Stream>,
    /// Why the last start failed, or the server ended.
    reason: Option<Arc<str>>,
    /// The state that was told last.
    told: State,
    /// It runs, or is about to, because of us.
    ours: bool,
    /// When the start that is under way, or was last, began; and how long the last one took.
    began: Instant,
    cold_start: Option<Duration>,
}

/// Somebody who waits, and since when.
type Waiter = (oneshot::Sender<Answer>, Instant);

type Answer = Result<(u32, Option<Stream>), Refusal>;

/// What a client gets that asks.
pub(super) enum Asked<'a> {
    Granted(Lease),
    Held(Ticket<'a>),
    Refused(Refusal),
}

impl Sleeper {
    pub(super) fn new(
        name: String,
        policy: Policy,
        room: Arc<Notify>,
        woken: Arc<Notify>,
        log: Log,
    ) -> Arc<Self> {
        let now = Instant::now();
        let machine = StateMachine::new(policy, now);
        let inner = Inner {
            told: machine.state(),
            ours: false,
            machine,
            waiters: HashMap::new(),
            orders: VecDeque::new(),
            armed: None,
            run: 0,
            proven: false,
            first: None,
            reason: None,
            began: now,
            cold_start: None,
        };
        let run = watch::Sender::new(0);
        Arc::new(Self {
            name,
            log,
            counters: WakeCounters::default(),
            inner: Mutex::new(inner),
            nudge: Notify::new(),
            run,
            room,
            woken,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks for a lease. `wakes`: this client may wake the server.
    pub(super) fn ask(self: &Arc<Self>, wakes: bool) -> Asked<'_> {
        self.step_by(WokenBy::Client, |inner, now, out| match inner.machine.request_lease(now, wakes, out) {
            LeaseResponse::Granted => {
                Asked::Granted(Lease { sleeper: Arc::clone(self), run: inner.run, counted: true })
            }
            LeaseResponse::Held(waiter) => {
                let (tell, answer) = oneshot::channel();
                inner.waiters.insert(waiter, (tell, now));
                let woke = out.iter().any(|action| matches!(action, Action::Start | Action::Thaw));
                Asked::Held(Ticket { sleeper: self, waiter, woke, answer })
            }
            LeaseResponse::Refused(refusal) => Asked::Refused(refusal),
        })
    }

    /// Whether a client that arrives now is served at once.
    pub(super) fn is_up(&self) -> bool {
        self.lock().machine.is_up()
    }

    /// Sessions that have it, and clients that wait for it.
    pub(super) fn load(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.machine.leases(), inner.machine.held())
    }

    /// Where it stands, since when, and how long its last cold start took.
    pub fn state(&self) -> (State, Instant, Option<Duration>) {
        let inner = self.lock();
        (inner.machine.state(), inner.machine.since(), inner.cold_start)
    }

    /// Wakes it for nobody in particular; it sleeps again by the usual rules.
    pub fn wake(&self, by: WokenBy) {
        self.step_by(by, |inner, now, out| inner.machine.wake(now, out));
    }

    /// An administrator stops it.
    ///
    /// # Errors
    /// When it is not awake, or somebody needs it.
    pub fn sleep(&self) -> Result<(), AdminError> {
        self.step(|inner, now, out| inner.machine.sleep(now, out))
    }

    /// An administrator freezes it.
    ///
    /// # Errors
    /// When it is not awake, or somebody needs it.
    pub fn freeze(&self) -> Result<(), AdminError> {
        self.step(|inner, now, out| inner.machine.freeze(now, out))
    }

    /// An administrator thaws it.
    ///
    /// # Errors
    /// When it is not frozen.
    pub fn thaw(&self) -> Result<(), AdminError> {
        self.step_by(WokenBy::Control, |inner, now, out| inner.machine.thaw(now, out))
    }

    /// What holds it where it is, and what happens next.
    pub fn outlook(&self) -> Snapshot {
        self.lock().machine.snapshot()
    }

    pub(super) fn keep_warm(&self, warm: bool) {
        self.step_by(WokenBy::KeepWarm, |inner, now, out| inner.machine.set_keep_warm(now, warm, out));
    }

    /// Whether this is why it sleeps as soon as nobody uses it.
    pub(super) fn evict(&self, why: Eviction, holds: bool) {
        self.step(
            |Inner { machine, .. }, now, out| {
                if holds { machine.evict(now, why, out) } else { machine.cancel_eviction(why) }
            },
        );
    }

    /// What runs is ours after all, and sleeps by our rules.
    pub(super) fn claim(&self) {
        self.step(|inner, now, out| inner.machine.mark_owned(now, out));
    }

    /// Other rules from now on.
    pub(super) fn set_policy(&self, policy: Policy) {
        self.step(|inner, now, out| inner.machine.set_policy(now, policy, out));
    }

    /// Why it could not be started may be mended.
    pub(super) fn forgive(&self) {
        self.step(|inner, now, out| inner.machine.reset_backoff(now, out));
    }

    /// Whether nothing of it runs, or is about to.
    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self.lock().machine.state(), State::Stopped | State::Failed)
    }

    /// Whether it was started, and does not answer yet.
    pub(super) fn is_starting(&self) -> bool {
        self.lock().machine.state() == State::Starting
    }

    /// Whether it runs, and somebody else has started it.
    pub(super) fn is_foreign(&self) -> bool {
        let inner = self.lock();
        !matches!(inner.machine.state(), State::Stopped | State::Failed) && inner.machine.is_foreign()
    }

    pub(super) fn found_running(&self) {
        self.step(|inner, _, _| inner.machine.mark_foreign());
    }

    /// The first byte of a server since its start: from now on a connection that ends early is the server's will.
    pub fn prove(&self) {
        self.lock().proven = true;
    }

    /// Whether the server has said nothing yet since its start.
    pub(super) fn is_unproven(&self) -> bool {
        !self.lock().proven
    }

    /// Something became known; `reason` says why, if it is a failure.
    pub(super) fn event(&self, event: Event, reason: Option<String>) {
        let gone = matches!(event, Event::Stopped | Event::Exited { .. } | Event::StartFailed);
        let run = self.step(|inner, now, out| {
            if let Some(reason) = reason {
                inner.reason = Some(reason.into());
            }
            inner.run = inner.run.wrapping_add(u32::from(gone));
            inner.machine.event(now, event, out);
            inner.run
        });
        if gone {
            self.run.send_replace(run);
        }
    }

    /// The server answers, on this connection if it came to one.
    pub(super) fn answers(&self, first: Option<Stream>) {
        self.step(|inner, now, out| {
            inner.first = first;
            inner.machine.event(now, Event::Ready, out);
        });
        // Perhaps nobody was left to take it.
        self.lock().first = None;
    }

    /// Whether it runs, and because of us.
    pub(super) fn is_ours_to_stop(&self) -> bool {
        self.lock().is_ours()
    }

    /// Why the last start failed, or the server ended.
    pub fn reason(&self) -> Option<Arc<str>> {
        self.lock().reason.clone()
    }

    /// Does what is due, and says when something is due next.
    pub(super) fn tick(&self) -> Option<Instant> {
        self.step(|inner, now, out| inner.machine.tick(now, out));
        let mut inner = self.lock();
        inner.armed = inner.machine.deadline();
        inner.armed
    }

    pub(super) fn next_order(&self) -> Option<Request> {
        self.lock().orders.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step of the machine, and all that follows from it. What it wakes, clients have woken: those that wait.
    fn step<R>(&self, act: impl FnOnce(&mut Inner, Instant, &mut Vec<Action>) -> R) -> R {
        self.step_by(WokenBy::Client, act)
    }

    /// A step that may wake it, and what does.
    fn step_by<R>(&self, by: WokenBy, act: impl FnOnce(&mut Inner, Instant, &mut Vec<Action>) -> R) -> R {
        let now = Instant::now();
        let mut inner = self.lock();
        let held = inner.machine.held();
        let mut out = Vec::new();
        let result = act(&mut inner, now, &mut out);
        let mut nudge = false;
        // What nobody takes any more changes the machine again.
        while !out.is_empty() {
            let mut further = Vec::new();
            for action in out {
                nudge |= inner.obey(now, action, &self.counters, by, &mut further);
            }
            out = further;
        }
        let due = inner.machine.deadline();
        nudge |= due.is_some_and(|due| inner.armed.is_none_or(|armed| due < armed));
        let freed = inner.machine.held() < held || inner.machine.is_up();
        self.counters.max_held.raise_to(u64::try_from(inner.machine.held()).unwrap_or(u64::MAX));
        inner.tell_state(&self.name, &self.log, &self.counters, now);
        let ours = inner.is_ours();
        let woken = std::mem::replace(&mut inner.ours, ours) != ours;
        drop(inner);
        if woken {
            self.woken.notify_one();
        }
        if nudge {
            self.nudge.notify_one();
        }
        if freed && held > 0 {
            self.room.notify_waiters();
        }
        result
    }
}

impl Inner {
    fn is_ours(&self) -> bool {
        !matches!(self.machine.state(), State::Stopped | State::Failed) && !self.machine.is_foreign()
    }

    /// Carries out an action; true if the driver has to.
    fn obey(
        &mut self,
        now: Instant,
        action: Action,
        counters: &WakeCounters,
        by: WokenBy,
        further: &mut Vec<Action>,
    ) -> bool {
        let order = match action {
            Action::Grant(waiter) => {
                let answer = Ok((self.run, self.first.take()));
                let taken = self
                    .waiters
                    .remove(&waiter)
                    .and_then(|(tell, since)| tell.send(answer).ok().map(|()| now.duration_since(since)));
                match taken {
                    Some(span) => counters.holds.add(span),
                    None => self.machine.release(now, true, further),
                }
                return false;
            }
            Action::Refuse(waiter, refusal) => {
                if let Some((tell, _)) = self.waiters.remove(&waiter) {
                    counters.failed_holds.inc();
                    // Whoever has just left needs no answer.
                    let _ = tell.send(Err(refusal));
                }
                return false;
            }
            Action::Start => {
                counters.wake(by);
                self.proven = false;
                self.began = now;
                self.reason = None;
                Request::Start
            }
            Action::Stop => Request::Stop,
            Action::Freeze => Request::Freeze,
            Action::Thaw => {
                counters.wake(by);
                Request::Thaw
            }
        };
        self.orders.push_back(order);
        true
    }

    fn tell_state(&mut self, name: &str, log: &Log, counters: &WakeCounters, now: Instant) {
        let (before, state) = (self.told, self.machine.state());
        if state == before {
            return;
        }
        self.told = state;
        counters.change(state, now);
        // Coming and going is told by the sessions.
        let quiet = matches!(
            (before, state),
            (State::Ready, State::Idle)
                | (State::Idle, State::Ready)
                | (State::Freezing | State::Thawing, State::Ready | State::Idle)
        );
        let level = if quiet { Level::Debug } else { Level::Info };
        match state {
            State::Starting => {
                let held = self.machine.held();
                log.line(level, format_args!("{name}: {before} → {state}, {held} waiting."));
            }
            State::Ready | State::Idle if before == State::Starting => {
                let took = now.duration_since(self.began);
                self.cold_start = Some(took);
                counters.cold_starts.add(took);
                log.line(level, format_args!("{name}: {state} after {:.3} s.", took.as_secs_f64()));
            }
            // A start that failed, or takes too long and is given up; the end of it was told then.
            State::Failed | State::Stopping
                if before == State::Starting || state == State::Failed && before != State::Stopping =>
            {
                counters.failed_starts.inc();
                let waited = now.duration_since(self.began).as_secs_f64();
                let late = || format!("it did not answer within {waited:.1} s").into();
                let reason = self.reason.get_or_insert_with(late);
                log.line(Level::Err, format_args!("{name}: {before} → {state}: {reason}"));
            }
            State::Stopped if self.reason.is_some() && before != State::Stopping => {
                let reason = self.reason.as_deref().unwrap_or_default();
                log.line(Level::Warning, format_args!("{name}: {before} → {state}: {reason}"));
            }
            _ => log.line(level, format_args!("{name}: {before} → {state}.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Arc<Sleeper> {
        let (policy, log) = (Policy::default(), Log::new(Some(Level::Err)));
        Sleeper::new("test".to_owned(), policy, Arc::default(), Arc::default(), log)
    }

    fn held(sleeper: &Arc<Sleeper>) -> Ticket<'_> {
        let Asked::Held(ticket) = sleeper.ask(true) else { panic!("not held") };
        ticket
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_knows_that_its_server_went_before_it_was_looked_at() {
        let sleeper = sleeper();
        let mut ticket = held(&sleeper);
        sleeper.answers(None);
        sleeper.event(Event::Exited { failed: false }, None);
        let (lease, _) = ticket.answer().await.unwrap();
        tokio::time::timeout(Duration::from_secs(1), lease.lost()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_on_what_is_there_is_not_lost() {
        let sleeper = sleeper();
        let mut ticket = held(&sleeper);
        sleeper.event(Event::StartFailed, Some("once".to_owned()));
        assert_eq!(ticket.answer().await.unwrap_err(), Refusal::StartFailed);
        // Somebody else starts it.
        sleeper.answers(None);
        let Asked::Granted(lease) = sleeper.ask(true) else { panic!("not granted") };
        let lost = tokio::time::timeout(Duration::from_secs(1), lease.lost());
        assert!(lost.await.is_err());
    }

    #[tokio::test]
    async fn what_is_granted_to_nobody_is_given_back() {
        let sleeper = sleeper();
        let ticket = held(&sleeper);
        sleeper.answers(None);
        assert_eq!(sleeper.load(), (1, 0));
        drop(ticket);
        assert_eq!(sleeper.load(), (0, 0));
    }

    #[tokio::test]
    async fn what_answers_before_it_is_known_whose_it_is_is_not_ours_to_stop() {
        let sleeper = sleeper();
        let _ticket = held(&sleeper);
        sleeper.answers(None);
        sleeper.found_running();
        assert!(!sleeper.is_ours_to_stop());
    }
}
