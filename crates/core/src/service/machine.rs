//! The machine itself.

mod evict;
mod steer;

use std::time::{Duration, Instant};

use super::waiting::{WaiterId, Waiting};
use super::{Action, Arrival, Event, Policy, Refusal, State};
use crate::backoff::Backoff;
use crate::later::after;
pub use evict::{Eviction, Evictions};
pub use steer::{NotNow, Outlook};

/// One service.
#[derive(Debug)]
pub struct Machine {
    policy: Policy,
    phase: Phase,
    /// When the phase began.
    since: Instant,
    waiting: Waiting,
    /// Leases that are held.
    leases: usize,
    /// Those of them that count as use: sessions that moved nothing for long do not.
    in_use: usize,
    /// When the last one that counts was given back.
    unused_since: Instant,
    /// When it began to answer.
    up_since: Instant,
    /// Somebody else has started it.
    foreign: bool,
    /// It is wanted awake, whether it is used or not.
    kept_warm: bool,
    /// Why it sleeps as soon as nobody uses it.
    evictions: Evictions,
    backoff: Backoff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Stopped,
    Starting,
    Up,
    Freezing,
    Frozen,
    Thawing,
    /// `failed`: because it did not start in time; the backoff follows.
    Stopping {
        failed: bool,
    },
    Failed {
        until: Instant,
    },
}

impl Machine {
    /// A service that is not running.
    pub fn new(policy: Policy, now: Instant) -> Self {
        Self {
            backoff: policy.backoff.clone(),
            policy,
            phase: Phase::Stopped,
            since: now,
            waiting: Waiting::default(),
            leases: 0,
            in_use: 0,
            unused_since: now,
            up_since: now,
            foreign: false,
            kept_warm: false,
            evictions: Evictions::default(),
        }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Stopped => State::Stopped,
            Phase::Starting => State::Starting,
            Phase::Up if self.in_use > 0 => State::Ready,
            Phase::Up => State::Idle,
            Phase::Freezing => State::Freezing,
            Phase::Frozen => State::Frozen,
            Phase::Thawing => State::Thawing,
            Phase::Stopping { .. } => State::Stopping,
            Phase::Failed { .. } => State::Failed,
        }
    }

    /// Since when.
    pub fn since(&self) -> Instant {
        match self.state() {
            State::Idle => self.unused_since.max(self.since),
            _ => self.since,
        }
    }

    /// How many clients are held.
    pub fn held(&self) -> usize {
        self.waiting.len()
    }

    /// How many leases there are.
    pub fn leases(&self) -> usize {
        self.leases
    }

    /// A client arrives. `wakes`: it may wake the service.
    pub fn arrive(&mut self, now: Instant, wakes: bool, out: &mut Vec<Action>) -> Arrival {
        match self.phase {
            Phase::Up => {
                self.lease();
                return Arrival::Granted;
            }
            Phase::Stopping { failed: true } => return Arrival::Refused(Refusal::Backoff),
            Phase::Failed { until } if now < until => return Arrival::Refused(Refusal::Backoff),
            Phase::Stopped | Phase::Failed { .. } | Phase::Frozen if !wakes => {
                return Arrival::Refused(Refusal::Asleep);
            }
            _ if self.waiting.len() >= self.policy.hold_max => return Arrival::Refused(Refusal::Overflow),
            _ => {}
        }
        let waiter = self.waiting.push(after(now, self.policy.hold_timeout));
        self.wanted(now, out);
        Arrival::Held(waiter)
    }

    /// A held client left. Nothing else follows for it.
    pub fn leave(&mut self, waiter: WaiterId) {
        self.waiting.remove(waiter);
    }

    /// A lease is given back. `counted`: it counted as use until now.
    pub fn release(&mut self, now: Instant, counted: bool, out: &mut Vec<Action>) {
        self.leases = self.leases.saturating_sub(1);
        if counted {
            self.unused(now);
        }
        self.tick(now, out);
    }

    /// A session has moved nothing for long, and does not count as use any more.
    pub fn quiet(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.unused(now);
        self.tick(now, out);
    }

    /// A session that did not count moves bytes again.
    pub fn busy(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.in_use = (self.in_use + 1).min(self.leases);
        if self.phase == Phase::Frozen {
            self.enter(now, Phase::Thawing);
            out.push(Action::Thaw);
        }
    }

    /// It is wanted awake from now on, or not any more.
    pub fn keep_warm(&mut self, now: Instant, warm: bool, out: &mut Vec<Action>) {
        self.kept_warm = warm;
        if warm {
            self.wanted(now, out);
        }
        self.tick(now, out);
    }

    /// Somebody who is no client wants it awake. It sleeps again by the usual rules.
    pub fn wake(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.wanted(now, out);
    }

    /// What is being started turned out to be somebody else's: it ran already. It may have answered meanwhile.
    pub fn found_running(&mut self) {
        self.foreign |= !matches!(self.phase, Phase::Stopped | Phase::Failed { .. } | Phase::Stopping { .. });
    }

    /// What runs is ours after all: it was started again by what watches over it.
    pub fn claim(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.foreign = false;
        self.tick(now, out);
    }

    /// Other rules from now on. Who is held already keeps the patience that it came with, and a backoff that runs goes
    /// on.
    pub fn set_policy(&mut self, now: Instant, policy: Policy, out: &mut Vec<Action>) {
        if policy.backoff != self.policy.backoff {
            self.backoff = policy.backoff.clone();
        }
        self.policy = policy;
        self.tick(now, out);
    }

    /// Why it could not be started may be mended: the next client starts it at once.
    pub fn forgive(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.backoff.reset();
        if matches!(self.phase, Phase::Failed { .. }) {
            self.stopped(now, out);
        }
    }

    /// Whether somebody else has started it.
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// Whether a client that arrives now gets a lease at once.
    pub fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    /// Something became known.
    pub fn event(&mut self, now: Instant, event: Event, out: &mut Vec<Action>) {
        match (event, self.phase) {
            (Event::Answers, Phase::Starting) => self.up(now, out),
            (Event::Answers, Phase::Stopped | Phase::Failed { .. }) => {
                self.foreign = true;
                self.up(now, out);
            }
            (Event::StartFailed | Event::Exited { .. }, Phase::Starting)
            | (Event::Stopped | Event::Exited { .. }, Phase::Stopping { failed: true }) => {
                self.fail(now, out);
            }
            (Event::Exited { failed }, Phase::Up | Phase::Freezing | Phase::Frozen | Phase::Thawing) => {
                self.exited(now, failed, out);
            }
            (Event::Stopped | Event::Exited { .. }, Phase::Stopping { failed: false }) => {
                self.stopped(now, out);
            }
            (Event::Frozen, Phase::Freezing) => {
                self.enter(now, Phase::Frozen);
                if self.is_wanted() {
                    self.enter(now, Phase::Thawing);
                    out.push(Action::Thaw);
                }
            }
            (Event::FreezeFailed, Phase::Freezing) | (Event::Thawed, Phase::Thawing) => self.awake(now, out),
            // Late news of something that was given up meanwhile.
            _ => {}
        }
        self.tick(now, out);
    }

    /// When [`Self::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Stopped => None,
            Phase::Failed { until } => self.kept_warm.then_some(until),
            Phase::Starting | Phase::Freezing | Phase::Thawing | Phase::Stopping { .. } => self.gives_up_at(),
            Phase::Up => [self.freezes_at(), self.stops_at()].into_iter().flatten().min(),
            Phase::Frozen => self.stops_at(),
        };
        [phase, self.waiting.deadline()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<Action>) {
        while let Some(waiter) = self.waiting.pop_overdue(now) {
            out.push(Action::Refuse(waiter, Refusal::HoldTimeout));
        }
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let given_up = due(self.gives_up_at());
        match self.phase {
            Phase::Starting if given_up => {
                if self.may_stop() {
                    self.refuse_all(Refusal::StartFailed, out);
                    self.enter(now, Phase::Stopping { failed: true });
                    out.push(Action::Stop);
                } else {
                    self.fail(now, out);
                }
            }
            Phase::Up | Phase::Frozen if due(self.stops_at()) => {
                self.enter(now, Phase::Stopping { failed: false });
                out.push(Action::Stop);
            }
            Phase::Failed { until } if self.kept_warm && until <= now => self.wanted(now, out),
            Phase::Up if due(self.freezes_at()) => {
                self.enter(now, Phase::Freezing);
                out.push(Action::Freeze);
            }
            // Whoever was asked does not answer; what it is really like shows at the next client.
            Phase::Stopping { failed: true } if given_up => self.fail(now, out),
            Phase::Stopping { failed: false } if given_up => self.stopped(now, out),
            Phase::Freezing | Phase::Thawing if given_up => self.awake(now, out),
            _ => {}
        }
    }

    /// Until when a start may take, and whoever was asked to freeze, thaw or stop has to answer.
    fn gives_up_at(&self) -> Option<Instant> {
        let span = match self.phase {
            Phase::Starting => self.policy.start_timeout,
            Phase::Freezing | Phase::Thawing | Phase::Stopping { .. } => self.policy.stop_timeout,
            Phase::Stopped | Phase::Up | Phase::Frozen | Phase::Failed { .. } => return None,
        };
        Some(after(self.since, span))
    }

    /// Somebody wants it: whatever sleeps is woken.
    fn wanted(&mut self, now: Instant, out: &mut Vec<Action>) {
        match self.phase {
            Phase::Failed { until } if now < until => {}
            Phase::Stopped | Phase::Failed { .. } => {
                self.foreign = false;
                self.enter(now, Phase::Starting);
                out.push(Action::Start);
            }
            Phase::Frozen => {
                self.enter(now, Phase::Thawing);
                out.push(Action::Thaw);
            }
            // On its way up, or back up once the way down is over.
            Phase::Starting | Phase::Up | Phase::Freezing | Phase::Thawing | Phase::Stopping { .. } => {}
        }
    }

    fn is_wanted(&self) -> bool {
        !self.waiting.is_empty() || self.in_use > 0 || self.kept_warm
    }

    fn up(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.up_since = now;
        self.unused_since = now;
        self.awake(now, out);
    }

    fn awake(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.enter(now, Phase::Up);
        self.unused_since = self.unused_since.max(now);
        while let Some(waiter) = self.waiting.pop() {
            self.lease();
            out.push(Action::Grant(waiter));
        }
    }

    fn fail(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.refuse_all(Refusal::StartFailed, out);
        let until = after(now, self.backoff.next_delay());
        self.enter(now, Phase::Failed { until });
    }

    fn refuse_all(&mut self, refusal: Refusal, out: &mut Vec<Action>) {
        while let Some(waiter) = self.waiting.pop() {
            out.push(Action::Refuse(waiter, refusal));
        }
    }

    fn exited(&mut self, now: Instant, failed: bool, out: &mut Vec<Action>) {
        let lasted = now.duration_since(self.up_since);
        if lasted >= self.policy.minimum_uptime {
            self.backoff.reset();
        }
        // It did answer, so the next client may start it at once. But what would be started again by us, over and
        // over, is given the time that a failed start gets.
        let at_once = !self.waiting.is_empty() || self.kept_warm;
        if failed && at_once && lasted < self.policy.stable_after {
            self.fail(now, out);
        } else {
            self.stopped(now, out);
        }
    }

    fn stopped(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.enter(now, Phase::Stopped);
        if !self.waiting.is_empty() || self.kept_warm {
            self.wanted(now, out);
        }
    }

    fn lease(&mut self) {
        self.leases += 1;
        self.in_use += 1;
    }

    fn unused(&mut self, now: Instant) {
        self.in_use = self.in_use.saturating_sub(1);
        if self.in_use == 0 {
            self.unused_since = now;
        }
    }

    fn freezes_at(&self) -> Option<Instant> {
        if self.phase == Phase::Up && self.evictions.is_empty() {
            self.sleeps_at(self.policy.freeze_after?)
        } else {
            None
        }
    }

    fn stops_at(&self) -> Option<Instant> {
        let stop_after =
            if self.evictions.is_empty() { self.policy.stop_after } else { Some(Duration::ZERO) };
        self.sleeps_at(stop_after?)
    }

    /// When it has been unused for so long, if it is unused and may sleep at all.
    fn sleeps_at(&self, unused: Duration) -> Option<Instant> {
        (self.may_stop() && !self.is_wanted()).then(|| after(self.unused_since, unused).max(self.mature_at()))
    }

    /// Before that it does not sleep.
    fn mature_at(&self) -> Instant {
        let at_once = self.evictions.is_at_once();
        after(self.up_since, if at_once { Duration::ZERO } else { self.policy.minimum_uptime })
    }

    /// What somebody else has started is not ours to stop.
    fn may_stop(&self) -> bool {
        self.policy.stop_foreign || !self.foreign
    }

    fn enter(&mut self, now: Instant, phase: Phase) {
        if matches!(phase, Phase::Stopped | Phase::Failed { .. }) {
            self.evictions.rest();
        }
        self.phase = phase;
        self.since = now;
    }
}
