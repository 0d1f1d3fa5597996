//! What a workload keeps under its lock: the core's machine, its members, and the clients that wait for it.

mod report;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use dormouse_activate::Request;
use dormouse_core::activation::{Action, LeaseRefusal, Policy, Port, State, StateMachine, WaiterId};
use dormouse_core::name::workload_name;
use dormouse_relay::Stream;
use tokio::sync::{Notify, oneshot};

use super::member::Member;
use crate::stats::wake::{WakeCounters, Woken, WokenBy};

/// What wakes a workload, if a step wakes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cause {
    /// The member whose client it is, or that is to be woken.
    port: Option<Port>,
    by: WokenBy,
}

/// A client that waits for a lease.
#[derive(Debug)]
struct WaitingClient {
    port: Port,
    answer: oneshot::Sender<LeaseAnswer>,
    since: Instant,
}

/// What a workload keeps under its lock.
#[derive(Debug)]
pub(super) struct WorkloadState {
    pub(super) machine: StateMachine,
    /// The servers that lead to the workload.
    pub(super) members: BTreeMap<Port, Member>,
    waiters: HashMap<WaiterId, WaitingClient>,
    /// What woke the workload last.
    pub(super) woken: Option<Woken>,
    /// The member that caused the last start.
    starter: Option<Port>,
    /// The requests to the activator. The machine has at most one under way, and a stop behind it.
    pub(super) requests: VecDeque<Request>,
    /// When the driver next lets the machine do what is due.
    pub(super) armed: Option<Instant>,
    /// The number of the run: how often the workload has stopped.
    pub(super) run: u32,
    /// The connection that showed that a port is ready, for its first client.
    pub(super) ready_conn: Option<(Port, Stream)>,
    /// Why the last start failed, or the workload ended.
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
pub(in crate::upstream) type LeaseAnswer = Result<(u32, Option<Stream>), LeaseRefusal>;

impl Cause {
    /// A client of a member, or somebody who wants this member.
    pub(super) fn of(port: Port, by: WokenBy) -> Self {
        Self { port: Some(port), by }
    }

    /// What concerns all members.
    pub(super) fn by(by: WokenBy) -> Self {
        Self { port: None, by }
    }

    /// What does not wake the workload by itself: if the step does, waiting clients are the cause.
    pub(super) fn unknown() -> Self {
        Self::by(WokenBy::Client)
    }
}

impl WorkloadState {
    pub(super) fn new(policy: Policy, now: Instant) -> Self {
        let machine = StateMachine::new(policy, now);
        Self {
            reported: machine.state(),
            owned: false,
            has_ended: true,
            machine,
            members: BTreeMap::new(),
            waiters: HashMap::new(),
            woken: None,
            starter: None,
            requests: VecDeque::new(),
            armed: None,
            run: 0,
            ready_conn: None,
            reason: None,
            start_problem: None,
            start_began: now,
            cold_start: None,
        }
    }

    /// Adds a member. Returns its port.
    pub(super) fn join(&mut self, member: Member) -> Port {
        let port = self.machine.open_port();
        member.counters.record_state(self.machine.state(), Instant::now());
        self.members.insert(port, member);
        port
    }

    pub(super) fn name(&self) -> String {
        workload_name(self.members.values().map(|member| member.name.as_str()))
    }

    pub(super) fn add_waiter(
        &mut self,
        id: WaiterId,
        port: Port,
        answer: oneshot::Sender<LeaseAnswer>,
        since: Instant,
    ) {
        self.waiters.insert(id, WaitingClient { port, answer, since });
        let (_, held) = self.machine.load(port);
        if let Some(counters) = self.counters(port) {
            counters.max_held.raise_to(u64::try_from(held).unwrap_or(u64::MAX));
        }
    }

    /// Forgets a client that waits no longer, unless it was answered.
    pub(super) fn cancel_waiter(&mut self, id: WaiterId) {
        if let Some(WaitingClient { port, .. }) = self.waiters.remove(&id) {
            self.count_failed_hold(port);
            self.machine.cancel(id);
        }
    }

    /// Sets the client that woke the workload last.
    pub(super) fn set_waking_client(&mut self, port: Port, client: &str) {
        let service = match self.members.len() {
            1 => None,
            _ => self.members.get(&port).map(|member| member.name.clone()),
        };
        if let Some(woken) = self.woken.as_mut().filter(|woken| woken.by == WokenBy::Client) {
            woken.client = Some(match service {
                Some(service) => format!("{client} of {service}"),
                None => client.to_owned(),
            });
        }
    }

    /// Returns what is notified of free waiting slots, for each member.
    pub(super) fn capacities(&self) -> Vec<Arc<Notify>> {
        self.members.values().map(|member| Arc::clone(&member.capacity)).collect()
    }

    fn counters(&self, port: Port) -> Option<&Arc<WakeCounters>> {
        self.members.get(&port).map(|member| &member.counters)
    }

    fn count_failed_hold(&self, port: Port) {
        if let Some(counters) = self.counters(port) {
            counters.failed_holds.inc();
        }
    }

    /// Returns the counters of the member that caused the last start.
    fn starter(&self) -> Option<&Arc<WakeCounters>> {
        let starter = self.starter.and_then(|port| self.counters(port));
        starter.or_else(|| self.members.values().next().map(|member| &member.counters))
    }

    fn record_wake(&mut self, Cause { port, by }: Cause) {
        // A client that waits since before a stop is the cause where no other is known.
        self.starter = port.or_else(|| self.waiters.values().next().map(|waiting| waiting.port));
        if let Some(counters) = self.starter() {
            counters.count_wake(by);
        }
        self.woken = Some(Woken { by, client: None, at: SystemTime::now() });
    }

    /// Returns whether the workload runs, or is about to.
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
        cause: Cause,
        further: &mut Vec<Action>,
    ) -> bool {
        let request = match action {
            Action::Grant(waiter) => {
                self.grant(waiter, now, further);
                return false;
            }
            Action::Refuse(waiter, refusal) => {
                if let Some(WaitingClient { port, answer, .. }) = self.waiters.remove(&waiter) {
                    self.count_failed_hold(port);
                    // A client that has just left needs no answer.
                    let _ = answer.send(Err(refusal));
                }
                return false;
            }
            Action::Start => {
                self.record_wake(cause);
                for member in self.members.values_mut() {
                    member.has_sent = false;
                }
                self.start_began = now;
                self.reason = None;
                self.start_problem = None;
                Request::Start
            }
            Action::Stop => Request::Stop,
            Action::Freeze => Request::Freeze,
            Action::Thaw => {
                self.record_wake(cause);
                Request::Thaw
            }
        };
        self.requests.push_back(request);
        true
    }

    /// Gives a waiting client its lease.
    fn grant(&mut self, waiter: WaiterId, now: Instant, further: &mut Vec<Action>) {
        let Some(WaitingClient { port, answer, since }) = self.waiters.remove(&waiter) else { return };
        let conn = self.ready_conn.take_if(|(of, _)| *of == port).map(|(_, conn)| conn);
        match answer.send(Ok((self.run, conn))) {
            Ok(()) => {
                if let Some(counters) = self.counters(port) {
                    counters.holds.add(now.duration_since(since));
                }
            }
            // The client has left.
            Err(_) => self.machine.release(now, port, true, further),
        }
    }
}
