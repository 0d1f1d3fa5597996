//! A simulation of the clients, the workload and the clock around the state machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dormouse_core::activation::{Action, Event, Eviction, Policy, Port, State, StateMachine, WaiterId};

use super::random::Random;

/// The number of random steps of a schedule.
const STEPS: usize = 400;

/// The simulated workload. It carries out the actions with a delay, or never.
#[derive(Default)]
pub(super) struct Workload {
    /// The next event, and its time.
    pub(super) next_event: Option<(Instant, Event)>,
    /// The ports that answer later than the first one, if ever.
    pub(super) slow_ports: Vec<(Instant, Port)>,
    /// The ports that answer.
    pub(super) answers: BTreeSet<Port>,
    pub(super) starting: bool,
    pub(super) running: bool,
    pub(super) frozen: bool,
}

/// The clients of one port: those of one server of one service.
pub(super) struct SimulatedPort {
    pub(super) port: Port,
    pub(super) hold_timeout: Duration,
    pub(super) hold_max: usize,
    pub(super) drained: bool,
}

/// A held client.
#[derive(Clone, Copy)]
pub(super) struct HeldClient {
    pub(super) port: Port,
    /// The end of its wait.
    pub(super) end: Instant,
    pub(super) may_wake: bool,
}

/// A lease.
#[derive(Clone, Copy)]
pub(super) struct HeldLease {
    pub(super) port: Port,
    /// Whether the lease counts as use.
    pub(super) counted: bool,
}

pub(super) struct Simulation {
    pub(super) seed: u64,
    pub(super) random: Random,
    pub(super) now: Instant,
    pub(super) machine: StateMachine,
    pub(super) policy: Policy,
    pub(super) workload: Workload,
    pub(super) ports: Vec<SimulatedPort>,
    pub(super) held: BTreeMap<WaiterId, HeldClient>,
    pub(super) leases: Vec<HeldLease>,
    pub(super) warm: bool,
    /// The active reasons for an eviction.
    pub(super) evictions: Vec<Eviction>,
    /// Whether another program started the workload.
    pub(super) foreign: bool,
    /// Whether an administrator command is in progress.
    pub(super) admin_command: bool,
    /// The time of the last failed start.
    pub(super) failed_since: Option<Instant>,
    /// The time of the first answer, and of the last use.
    pub(super) up_since: Instant,
    pub(super) last_use: Instant,
    pub(super) log: Vec<String>,
}

impl SimulatedPort {
    pub(super) fn open(machine: &mut StateMachine, random: &mut Random) -> Self {
        Self {
            port: machine.open_port(),
            hold_timeout: Duration::from_millis(100 + random.below(20_000)),
            hold_max: 1 + usize::try_from(random.below(8)).unwrap(),
            drained: false,
        }
    }
}

impl Simulation {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let policy = Policy {
            start_timeout: Duration::from_millis(50 + random.below(10_000)),
            stop_timeout: Duration::from_secs(20),
            freeze_after: random.chance(50).then(|| random.millis(5_000)),
            stop_after: random.chance(80).then(|| random.millis(20_000)),
            minimum_uptime: random.millis(5_000),
            stop_foreign: random.chance(50),
            stable_after: random.millis(2_000),
            ..Policy::default()
        };
        let now = Instant::now();
        let mut machine = StateMachine::new(policy.clone(), now);
        let ports = 0..1 + random.below(3);
        let ports = ports.map(|_| SimulatedPort::open(&mut machine, &mut random)).collect();
        Self {
            seed,
            random,
            now,
            machine,
            ports,
            policy,
            workload: Workload::default(),
            held: BTreeMap::new(),
            leases: Vec::new(),
            warm: false,
            evictions: Vec::new(),
            foreign: false,
            admin_command: false,
            failed_since: None,
            up_since: now,
            last_use: now,
            log: Vec::new(),
        }
    }

    pub(super) fn run(mut self) {
        for _ in 0..STEPS {
            let step = self.random.below(100);
            self.step(step);
        }
        // All sessions end. Then the machine must come to rest, and must not forget a client.
        self.set_keep_warm(false);
        for _ in 0..STEPS {
            while let Some(lease) = self.leases.pop() {
                self.release(lease);
            }
            let Some(next) = self.next_event_time() else { break };
            self.now = next;
            self.run_due();
        }
        self.assert(self.held.is_empty(), "a client waits forever");
        let rests =
            matches!(self.machine.state(), State::Stopped | State::Failed | State::Idle | State::Frozen);
        self.assert(rests, "it does not come to rest");
        let stops = self.policy.stop_after.is_some() || !self.evictions.is_empty();
        let sleeps = stops && self.policy.stop_foreign;
        self.assert(!sleeps || !self.workload.running, "it does not go to sleep");
    }

    pub(super) fn set_keep_warm(&mut self, warm: bool) {
        let mut out = Vec::new();
        self.warm = warm;
        self.machine.set_keep_warm(self.now, warm, &mut out);
        self.apply(out);
    }

    pub(super) fn next_event_time(&self) -> Option<Instant> {
        let next_event = self.workload.next_event.map(|(at, _)| at);
        let slow_port = self.workload.slow_ports.first().map(|(at, _)| *at);
        [next_event, slow_port, self.machine.deadline()]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.max(self.now))
    }

    /// Runs everything that is due by now.
    pub(super) fn run_due(&mut self) {
        let mut out = Vec::new();
        if let Some((at, event)) = self.workload.next_event.filter(|(at, _)| *at <= self.now) {
            self.log.push(format!("{event:?}, due {:?} ago", self.now - at));
            self.workload.next_event = None;
            match event {
                Event::Ready(port) => {
                    (self.workload.running, self.workload.starting) = (true, false);
                    (self.up_since, self.last_use) = (self.now, self.now);
                    self.workload.answers.insert(port);
                    self.others_answer_later(port);
                }
                Event::StartFailed | Event::Stopped => self.workload = Workload::default(),
                Event::Frozen => self.workload.frozen = true,
                Event::Thawed => self.workload.frozen = false,
                Event::FreezeFailed | Event::Exited { .. } => {}
            }
            self.machine.event(self.now, event, &mut out);
        }
        if let Some((at, port)) = self.workload.slow_ports.first().copied().filter(|(at, _)| *at <= self.now)
        {
            self.log.push(format!("{port:?} answers, too, due {:?} ago", self.now - at));
            self.workload.slow_ports.remove(0);
            self.workload.answers.insert(port);
            self.machine.event(self.now, Event::Ready(port), &mut out);
        }
        self.machine.tick(self.now, &mut out);
        self.apply(out);
        self.assert(self.machine.deadline().is_none_or(|at| at > self.now), "a deadline stays in the past");
        self.check();
    }

    pub(super) fn apply(&mut self, actions: Vec<Action>) {
        for action in actions {
            self.log.push(format!("{action:?}"));
            let slow = self.random.millis(8_000);
            match action {
                Action::Start => {
                    let given_up = self.foreign && !self.policy.stop_foreign && self.workload.starting;
                    self.assert(
                        given_up || !self.workload.starting && !self.workload.running,
                        "started twice",
                    );
                    let patient = self.failed_since.is_none_or(|at| self.now >= at + Duration::from_secs(1));
                    self.assert(patient, "started again without a pause");
                    self.assert_may_wake();
                    self.workload.starting = true;
                    self.foreign = false;
                    self.rests();
                    // Some starts never end, and must run into the start timeout.
                    let first = self.any_port();
                    let event = if self.random.chance(70) { Event::Ready(first) } else { Event::StartFailed };
                    self.workload.next_event = self.random.chance(85).then(|| (self.now + slow, event));
                }
                Action::Stop => {
                    self.assert_may_sleep(self.policy.stop_after);
                    self.workload.slow_ports.clear();
                    self.workload.next_event = Some((self.now + slow, Event::Stopped));
                }
                Action::Freeze => {
                    self.assert(self.workload.running && !self.workload.frozen, "frozen twice");
                    self.assert(
                        self.admin_command || self.evictions.is_empty(),
                        "frozen although it is to stop",
                    );
                    self.assert_may_sleep(self.policy.freeze_after);
                    let event = if self.random.chance(80) { Event::Frozen } else { Event::FreezeFailed };
                    self.workload.next_event = Some((self.now + slow, event));
                }
                Action::Thaw => {
                    self.assert(self.workload.frozen, "thawed although it is not frozen");
                    self.assert_may_wake();
                    self.workload.next_event = Some((self.now + slow, Event::Thawed));
                }
                Action::Grant(waiter) => {
                    let port = self.answered(waiter);
                    self.grant(port);
                }
                Action::Refuse(waiter, _) => {
                    self.answered(waiter);
                }
            }
        }
    }

    pub(super) fn answered(&mut self, waiter: WaiterId) -> Port {
        let held = self.held.remove(&waiter);
        self.assert(held.is_some(), "an answer to an unknown client");
        held.unwrap().port
    }

    pub(super) fn release(&mut self, HeldLease { port, counted }: HeldLease) {
        self.used(counted);
        let mut out = Vec::new();
        self.machine.release(self.now, port, counted, &mut out);
        self.apply(out);
    }

    pub(super) fn any_port(&mut self) -> Port {
        let index = self.random.below(self.ports.len() as u64);
        self.ports[usize::try_from(index).unwrap()].port
    }

    /// The other ports answer after the first one, or never.
    fn others_answer_later(&mut self, first: Port) {
        let mut slow = Vec::new();
        for SimulatedPort { port, .. } in self.ports.iter().filter(|other| other.port != first) {
            if self.random.chance(80) {
                slow.push((self.now + self.random.millis(4_000), *port));
            }
        }
        slow.sort();
        self.workload.slow_ports = slow;
    }

    pub(super) fn used(&mut self, counted: bool) {
        if counted {
            self.last_use = self.now;
        }
    }

    /// A stop fulfils all evictions except the administrator's.
    pub(super) fn rests(&mut self) {
        self.evictions.retain(|why| *why == Eviction::Admin);
    }

    pub(super) fn grant(&mut self, port: Port) {
        self.assert(self.workload.running && !self.workload.frozen, "a lease on what does not run");
        self.assert(self.workload.answers.contains(&port), "a lease on a port that does not answer");
        self.leases.push(HeldLease { port, counted: true });
    }

    pub(super) fn in_use(&self) -> bool {
        self.leases.iter().any(|lease| lease.counted)
    }

    #[track_caller]
    pub(super) fn assert(&self, holds: bool, what: &str) {
        if !holds {
            let log = self.log.iter().rev().take(40).rev().cloned().collect::<Vec<_>>().join("\n  ");
            panic!("DORMOUSE_SEED={}: {what}; {:?}\n  {log}", self.seed, self.machine);
        }
    }
}
