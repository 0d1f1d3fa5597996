//! The state machine.

mod admin;
mod evict;
mod idle;
mod ports;
mod transitions;
mod waiters;

use std::collections::BTreeMap;
use std::time::Instant;

use self::ports::PortState;
use super::hold_queue::HoldQueue;
use super::short_runs::ShortRuns;
use super::{Action, Event, LeaseRefusal, LeaseRequest, LeaseResponse, Pause, Policy, Port, State};
use crate::backoff::Backoff;
use crate::time::saturating_add;
pub use admin::{AdminError, Snapshot};
pub use evict::{Eviction, Evictions};

/// The state machine of one workload.
#[derive(Debug)]
pub struct StateMachine {
    policy: Policy,
    phase: Phase,
    /// The start of the current phase.
    since: Instant,
    /// The addresses at which the workload answers.
    ports: BTreeMap<Port, PortState>,
    /// The number of ports that were opened.
    issued_ports: u32,
    held: HoldQueue,
    /// The number of leases.
    leases: usize,
    /// The number of leases that count as use. The lease of an idle session does not.
    in_use: usize,
    /// The end of the last use.
    unused_since: Instant,
    /// The time of the first answer since the last start.
    up_since: Instant,
    /// Whether another program started the workload.
    foreign: bool,
    /// Whether the schedule keeps the workload awake, in use or not.
    keep_warm: bool,
    /// The reasons to stop the workload as soon as it is unused.
    evictions: Evictions,
    backoff: Backoff,
    short_runs: ShortRuns,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Stopped,
    Starting,
    Up,
    Freezing,
    Frozen,
    Thawing,
    /// `failed`: the start timed out, and the backoff follows.
    Stopping {
        failed: bool,
    },
    Failed {
        until: Instant,
    },
}

impl StateMachine {
    /// Creates the machine of a stopped workload without ports.
    pub fn new(policy: Policy, now: Instant) -> Self {
        Self {
            backoff: policy.backoff.clone(),
            policy,
            phase: Phase::Stopped,
            since: now,
            ports: BTreeMap::new(),
            issued_ports: 0,
            held: HoldQueue::default(),
            leases: 0,
            in_use: 0,
            unused_since: now,
            up_since: now,
            foreign: false,
            keep_warm: false,
            evictions: Evictions::default(),
            short_runs: ShortRuns::default(),
        }
    }

    /// The current state.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Stopped => State::Stopped,
            Phase::Starting => State::Starting,
            // A client may wait for a port that does not answer yet.
            Phase::Up if self.in_use > 0 || !self.held.is_empty() => State::Ready,
            Phase::Up => State::Idle,
            Phase::Freezing => State::Freezing,
            Phase::Frozen => State::Frozen,
            Phase::Thawing => State::Thawing,
            Phase::Stopping { .. } => State::Stopping,
            Phase::Failed { .. } => State::Failed,
        }
    }

    /// The start of the current state.
    pub fn since(&self) -> Instant {
        match self.state() {
            State::Idle => self.unused_since.max(self.since),
            _ => self.since,
        }
    }

    /// The number of held clients.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// The number of leases.
    pub fn leases(&self) -> usize {
        self.leases
    }

    /// A client asks for a lease.
    pub fn request_lease(
        &mut self,
        now: Instant,
        request: LeaseRequest,
        out: &mut Vec<Action>,
    ) -> LeaseResponse {
        let LeaseRequest { port, may_wake, hold_timeout, hold_max } = request;
        match self.phase {
            Phase::Up if self.is_ready(port) => {
                self.add_lease(port);
                return LeaseResponse::Granted;
            }
            Phase::Stopping { failed: true } => return LeaseResponse::Refused(LeaseRefusal::Backoff),
            Phase::Failed { until } if now < until && self.pause().is_none() => {
                return LeaseResponse::Refused(LeaseRefusal::Backoff);
            }
            Phase::Stopped | Phase::Failed { .. } | Phase::Frozen if !may_wake => {
                return LeaseResponse::Refused(LeaseRefusal::WakeNotAllowed);
            }
            _ if self.load(port).1 >= hold_max => return LeaseResponse::Refused(LeaseRefusal::QueueFull),
            _ => {}
        }
        let waiter = self.hold(port, saturating_add(now, hold_timeout), may_wake);
        self.ensure_awake(now, out);
        LeaseResponse::Held(waiter)
    }

    /// A session returns its lease. `counted`: whether the lease counted as use until now.
    pub fn release(&mut self, now: Instant, port: Port, counted: bool, out: &mut Vec<Action>) {
        self.remove_lease(port);
        if counted {
            self.end_use(now);
        }
        self.tick(now, out);
    }

    /// A session became idle: its lease does not count as use any more.
    pub fn session_idle(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.end_use(now);
        self.tick(now, out);
    }

    /// An idle session moves bytes again: its lease counts as use.
    pub fn session_active(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.in_use = (self.in_use + 1).min(self.leases);
        if self.phase == Phase::Frozen {
            self.enter(now, Phase::Thawing);
            out.push(Action::Thaw);
        }
    }

    /// The schedule begins or ends to keep the workload awake.
    pub fn set_keep_warm(&mut self, now: Instant, warm: bool, out: &mut Vec<Action>) {
        self.keep_warm = warm;
        if warm {
            self.ensure_awake(now, out);
        }
        self.tick(now, out);
    }

    /// Wakes the workload without a client. The usual idle rules apply afterwards.
    pub fn wake(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.ensure_awake(now, out);
    }

    /// The activator found the workload running, so another program started it. The workload may have answered
    /// meanwhile.
    pub fn mark_foreign(&mut self) {
        self.foreign |= !matches!(self.phase, Phase::Stopped | Phase::Failed { .. } | Phase::Stopping { .. });
    }

    /// The activator found that the running workload is its own after all, for example after a restart by its
    /// supervisor.
    pub fn mark_owned(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.foreign = false;
        self.tick(now, out);
    }

    /// Replaces the policy. A running backoff continues.
    pub fn set_policy(&mut self, now: Instant, policy: Policy, out: &mut Vec<Action>) {
        if policy.backoff != self.policy.backoff {
            self.backoff = policy.backoff.clone();
        }
        self.policy = policy;
        self.tick(now, out);
    }

    /// Ends the backoff, because the cause of the failed start may be gone. The next client starts the workload at
    /// once.
    pub fn reset_backoff(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.backoff.reset();
        self.short_runs.reset();
        if matches!(self.phase, Phase::Failed { .. }) {
            self.enter_stopped(now, out);
        }
    }

    /// A client was served, in the present run or in the one that has just ended: the server sent it something, or the
    /// client ended the session. A workload that serves is started at once, however short its runs are.
    pub fn mark_served(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.short_runs.mark_served() && matches!(self.phase, Phase::Failed { .. }) {
            self.enter_stopped(now, out);
        }
    }

    /// The pause in progress, in which clients are held, because several runs ended at once.
    pub fn pause(&self) -> Option<Pause> {
        self.short_runs.pause()
    }

    /// Whether another program started the workload.
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// Handles an event.
    pub fn event(&mut self, now: Instant, event: Event, out: &mut Vec<Action>) {
        match (event, self.phase) {
            // It was closed meanwhile.
            (Event::Ready(port), _) if !self.ports.contains_key(&port) => {}
            (Event::Ready(port), Phase::Starting) => self.became_ready(now, port, out),
            (Event::Ready(port), Phase::Stopped | Phase::Failed { .. }) => {
                self.foreign = true;
                self.became_ready(now, port, out);
            }
            // Another port was ready first.
            (Event::Ready(port), Phase::Up) => {
                self.set_ready(port);
                self.grant_ready(out);
            }
            (Event::Ready(port), Phase::Freezing | Phase::Frozen | Phase::Thawing) => self.set_ready(port),
            (Event::StartFailed | Event::Exited { .. }, Phase::Starting)
            | (Event::Stopped | Event::Exited { .. }, Phase::Stopping { failed: true }) => {
                self.enter_failed(now, out);
            }
            (Event::Exited { failed }, Phase::Up | Phase::Freezing | Phase::Frozen | Phase::Thawing) => {
                self.exited(now, failed, out);
            }
            (Event::Stopped | Event::Exited { .. }, Phase::Stopping { failed: false }) => {
                self.enter_stopped(now, out);
            }
            (Event::Frozen, Phase::Freezing) => {
                self.enter(now, Phase::Frozen);
                if self.in_use > 0 || self.is_to_wake() {
                    self.ensure_awake(now, out);
                } else {
                    self.refuse_all(LeaseRefusal::WakeNotAllowed, out);
                }
            }
            (Event::FreezeFailed, Phase::Freezing) | (Event::Thawed, Phase::Thawing) => {
                self.enter_up(now, out);
            }
            // A late report about an operation that was given up.
            _ => {}
        }
        self.tick(now, out);
    }

    /// The time at which [`Self::tick`] has to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Stopped => None,
            Phase::Failed { until } => (self.keep_warm || !self.held.is_empty()).then_some(until),
            Phase::Starting | Phase::Freezing | Phase::Thawing | Phase::Stopping { .. } => {
                self.operation_timeout()
            }
            Phase::Up => [self.freeze_at(), self.stop_at()].into_iter().flatten().min(),
            Phase::Frozen => self.stop_at(),
        };
        [phase, self.held.deadline()].into_iter().flatten().min()
    }

    /// Does everything that is due at `now`.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.refuse_expired(now, out);
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let given_up = due(self.operation_timeout());
        match self.phase {
            Phase::Starting if given_up => {
                if self.may_stop() {
                    self.refuse_all(LeaseRefusal::StartFailed, out);
                    self.enter(now, Phase::Stopping { failed: true });
                    out.push(Action::Stop);
                } else {
                    self.enter_failed(now, out);
                }
            }
            Phase::Up | Phase::Frozen if due(self.stop_at()) => {
                self.enter(now, Phase::Stopping { failed: false });
                out.push(Action::Stop);
            }
            Phase::Failed { until } if until <= now && self.is_to_wake() => self.ensure_awake(now, out),
            // Those who had waited for a pause to end, and may not wake the workload.
            Phase::Failed { until } if until <= now => self.refuse_all(LeaseRefusal::WakeNotAllowed, out),
            Phase::Up if due(self.freeze_at()) => {
                self.enter(now, Phase::Freezing);
                out.push(Action::Freeze);
            }
            // The activator did not report the end of a stop, freeze or thaw. The next client shows the real state.
            Phase::Stopping { failed: true } if given_up => self.enter_failed(now, out),
            Phase::Stopping { failed: false } if given_up => self.enter_stopped(now, out),
            Phase::Freezing | Phase::Thawing if given_up => self.enter_up(now, out),
            _ => {}
        }
    }
}
