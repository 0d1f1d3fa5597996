//! The state machine of a workload under random schedules. Each seed is one schedule: clients come and go, starts are
//! slow, fail or never end, the workload crashes, freezes fail. The invariants hold after every step, and in the end
//! every client has an answer.
//!
//! `DORMOUSE_SEEDS=10000 cargo test -p dormouse-core --test activation` runs more seeds than CI does; `DORMOUSE_SEED=N`
//! replays one seed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what fails fails it"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dormouse_core::activation::{
    Action, AdminError, Event, Eviction, LeaseResponse, Policy, Refusal, State, StateMachine, WaiterId,
};

const SEEDS: u64 = 256;
const STEPS: usize = 400;

/// A random number generator (`SplitMix64`) that gives the same numbers for a seed on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn millis(&mut self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The simulated workload. It carries out the actions with a delay, or never.
#[derive(Default)]
struct Workload {
    /// The next event, and its time.
    next_event: Option<(Instant, Event)>,
    starting: bool,
    running: bool,
    frozen: bool,
}

struct Simulation {
    seed: u64,
    random: Random,
    now: Instant,
    machine: StateMachine,
    policy: Policy,
    workload: Workload,
    /// The held clients, and the time at which each arrived.
    held: BTreeMap<WaiterId, Instant>,
    /// The leases. True: the lease counts as use.
    leases: Vec<bool>,
    warm: bool,
    /// The active reasons for an eviction.
    evictions: Vec<Eviction>,
    /// Whether another program started the workload.
    foreign: bool,
    /// Whether an administrator command is in progress.
    admin_command: bool,
    /// The time of the last failed start.
    failed_since: Option<Instant>,
    /// The time of the first answer, and of the last use.
    up_since: Instant,
    last_use: Instant,
    log: Vec<String>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let policy = Policy {
            hold_timeout: Duration::from_millis(100 + random.below(20_000)),
            hold_max: 1 + usize::try_from(random.below(8)).unwrap(),
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
        Self {
            seed,
            random,
            now,
            machine: StateMachine::new(policy.clone(), now),
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

    fn run(mut self) {
        for _ in 0..STEPS {
            let step = self.random.below(100);
            self.step(step);
        }
        // All sessions end. Then the machine must come to rest, and must not forget a client.
        self.set_keep_warm(false);
        for _ in 0..STEPS {
            while let Some(counted) = self.leases.pop() {
                self.used(counted);
                let mut out = Vec::new();
                self.machine.release(self.now, counted, &mut out);
                self.apply(out);
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

    fn step(&mut self, step: u64) {
        let mut out = Vec::new();
        match step {
            0..30 => self.client_arrives(),
            30..38 => {
                if let Some((waiter, _)) = self.held.pop_first() {
                    self.log.push(format!("{waiter:?} leaves"));
                    self.machine.cancel(waiter);
                }
            }
            38..60 => {
                if !self.leases.is_empty() {
                    let index = usize::try_from(self.random.below(self.leases.len() as u64)).unwrap();
                    let counted = self.leases.swap_remove(index);
                    self.used(counted);
                    self.machine.release(self.now, counted, &mut out);
                }
            }
            60..64 => {
                if let Some(lease) = self.leases.iter_mut().find(|counted| **counted) {
                    *lease = false;
                    self.last_use = self.now;
                    self.machine.session_idle(self.now, &mut out);
                }
            }
            64..68 => {
                if let Some(lease) = self.leases.iter_mut().find(|counted| !**counted) {
                    *lease = true;
                    self.machine.session_active(self.now, &mut out);
                }
            }
            68..71 if self.workload.running => {
                self.workload = Workload::default();
                let failed = self.random.chance(50);
                self.log.push(format!("exits, failed {failed}"));
                self.machine.event(self.now, Event::Exited { failed }, &mut out);
            }
            71..73 => {
                // Events that do not match the phase must be harmless.
                let stray = match self.random.below(4) {
                    0 => Event::Stopped,
                    1 => Event::Frozen,
                    2 => Event::Thawed,
                    _ => Event::FreezeFailed,
                };
                if self.workload.next_event.is_none() {
                    self.machine.event(self.now, stray, &mut out);
                }
            }
            73..75 => {
                let warm = self.random.chance(30);
                self.set_keep_warm(warm);
            }
            75..77 => {
                self.log.push("wanted by no client".to_owned());
                self.machine.wake(self.now, &mut out);
            }
            79..81
                if self.workload.starting
                    || self.workload.running && !self.foreign && self.random.chance(10) =>
            {
                let stopping =
                    matches!(self.machine.state(), State::Stopping | State::Stopped | State::Failed);
                self.log.push("found running".to_owned());
                self.foreign |= !stopping;
                self.machine.mark_foreign();
            }
            81..83 => self.all_sessions_become_idle(),
            83..86 => return self.run_admin_command(),
            77..79 => {
                let all = [Eviction::ExclusiveGroup, Eviction::ConfigChanged, Eviction::Admin];
                let why = all[usize::try_from(self.random.below(3)).unwrap()];
                // A reason may be set twice, or cancelled without being set.
                let evict = self.random.chance(50);
                self.log.push(format!("{} {why:?}", if evict { "evicted," } else { "spared," }));
                self.evictions.retain(|other| *other != why);
                if evict {
                    self.evictions.push(why);
                    self.machine.evict(self.now, why, &mut out);
                } else {
                    self.machine.cancel_eviction(why);
                }
            }
            _ => {
                self.now += self.random.millis(3_000);
                self.run_due();
            }
        }
        self.apply(out);
        self.check();
    }

    /// An administrator command.
    fn run_admin_command(&mut self) {
        let (used, warm) = (self.leases.contains(&true) || !self.held.is_empty(), self.warm);
        let state = self.machine.state();
        let mut out = Vec::new();
        let done = match self.random.below(3) {
            0 => self.machine.sleep(self.now, &mut out),
            1 => self.machine.freeze(self.now, &mut out),
            _ => self.machine.thaw(self.now, &mut out),
        };
        self.log.push(format!("admin_command: {done:?}"));
        match done {
            Ok(()) => self.assert(out.len() == 1, "one thing is done"),
            Err(AdminError::InUse(by)) => self.assert(used && by > 0, "in use without a user"),
            Err(AdminError::KeepWarm) => self.assert(warm && !used, "kept warm without a schedule"),
            Err(AdminError::NotAwake) => {
                self.assert(!matches!(state, State::Ready | State::Idle), "it is awake");
            }
            Err(AdminError::NotFrozen) => self.assert(state != State::Frozen, "it is frozen"),
        }
        let snapshot = self.machine.snapshot();
        self.assert(snapshot.held == self.held.len() && snapshot.leases == self.leases.len(), "the snapshot");
        self.admin_command = true;
        self.apply(out);
        self.admin_command = false;
        self.check();
    }

    fn client_arrives(&mut self) {
        let may_wake = self.random.chance(80);
        let before = self.machine.state();
        let mut out = Vec::new();
        let arrival = self.machine.request_lease(self.now, may_wake, &mut out);
        self.log.push(format!("client, may_wake {may_wake}: {arrival:?}"));
        match arrival {
            LeaseResponse::Granted => self.grant(),
            LeaseResponse::Held(waiter) => {
                let known = self.held.insert(waiter, self.now);
                self.assert(known.is_none(), "a waiter's name is used twice");
                self.assert(
                    may_wake || !matches!(before, State::Stopped | State::Frozen),
                    "woken by whom it must not",
                );
            }
            LeaseResponse::Refused(Refusal::QueueFull) => {
                self.assert(self.held.len() == self.policy.hold_max, "turned away although there is room");
            }
            LeaseResponse::Refused(Refusal::WakeNotAllowed) => {
                self.assert(!may_wake, "turned away although it may wake");
            }
            LeaseResponse::Refused(Refusal::Backoff) => {
                self.assert(matches!(before, State::Failed | State::Stopping), "a backoff without a failure");
            }
            LeaseResponse::Refused(refusal) => self.assert(false, &format!("refused at once: {refusal}")),
        }
        self.apply(out);
    }

    /// All sessions become idle, long enough for several idle times to pass.
    fn all_sessions_become_idle(&mut self) {
        while let Some(lease) = self.leases.iter_mut().find(|counted| **counted) {
            *lease = false;
            self.last_use = self.now;
            let mut out = Vec::new();
            self.machine.session_idle(self.now, &mut out);
            self.apply(out);
        }
        for _ in 0..self.random.below(4) {
            let Some(next) = self.next_event_time() else { break };
            self.now = next;
            self.run_due();
        }
    }

    fn set_keep_warm(&mut self, warm: bool) {
        let mut out = Vec::new();
        self.warm = warm;
        self.machine.set_keep_warm(self.now, warm, &mut out);
        self.apply(out);
    }

    fn next_event_time(&self) -> Option<Instant> {
        let next_event = self.workload.next_event.map(|(at, _)| at);
        [next_event, self.machine.deadline()].into_iter().flatten().min().map(|at| at.max(self.now))
    }

    /// Runs everything that is due by now.
    fn run_due(&mut self) {
        let mut out = Vec::new();
        if let Some((at, event)) = self.workload.next_event.filter(|(at, _)| *at <= self.now) {
            self.log.push(format!("{event:?}, due {:?} ago", self.now - at));
            self.workload.next_event = None;
            match event {
                Event::Ready => {
                    (self.workload.running, self.workload.starting) = (true, false);
                    (self.up_since, self.last_use) = (self.now, self.now);
                }
                Event::StartFailed | Event::Stopped => self.workload = Workload::default(),
                Event::Frozen => self.workload.frozen = true,
                Event::Thawed => self.workload.frozen = false,
                Event::FreezeFailed | Event::Exited { .. } => {}
            }
            self.machine.event(self.now, event, &mut out);
        }
        self.machine.tick(self.now, &mut out);
        self.apply(out);
        self.assert(self.machine.deadline().is_none_or(|at| at > self.now), "a deadline stays in the past");
        self.check();
    }

    fn apply(&mut self, actions: Vec<Action>) {
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
                    self.workload.starting = true;
                    self.foreign = false;
                    self.rests();
                    // Some starts never end, and must run into the start timeout.
                    let event = if self.random.chance(70) { Event::Ready } else { Event::StartFailed };
                    self.workload.next_event = self.random.chance(85).then(|| (self.now + slow, event));
                }
                Action::Stop => {
                    self.assert_may_sleep(self.policy.stop_after);
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
                    self.workload.next_event = Some((self.now + slow, Event::Thawed));
                }
                Action::Grant(waiter) => {
                    self.answered(waiter);
                    self.grant();
                }
                Action::Refuse(waiter, _) => self.answered(waiter),
            }
        }
    }

    fn answered(&mut self, waiter: WaiterId) {
        let held = self.held.remove(&waiter);
        self.assert(held.is_some(), "an answer to an unknown client");
    }

    fn used(&mut self, counted: bool) {
        if counted {
            self.last_use = self.now;
        }
    }

    /// The workload may only sleep when it is unused, after its idle time and its minimum uptime.
    fn assert_may_sleep(&self, after: Option<Duration>) {
        if self.admin_command {
            let wanted = self.warm || self.leases.contains(&true) || !self.held.is_empty();
            return self.assert(!wanted, "put to sleep although it is wanted");
        }
        self.assert(!self.foreign || self.policy.stop_foreign, "a foreign workload is stopped");
        if self.workload.running {
            let long_enough =
                !self.evictions.is_empty() || after.is_some_and(|after| self.now >= self.last_use + after);
            let thrashes = self.evictions.iter().all(|why| *why == Eviction::ExclusiveGroup);
            let mature = !thrashes || self.now >= self.up_since + self.policy.minimum_uptime;
            self.assert(long_enough && mature, "it sleeps too early");
            self.assert(!self.warm && !self.leases.contains(&true), "it sleeps although it is wanted");
        }
    }

    /// A stop fulfils all evictions except the administrator's.
    fn rests(&mut self) {
        self.evictions.retain(|why| *why == Eviction::Admin);
    }

    fn grant(&mut self) {
        self.assert(self.workload.running && !self.workload.frozen, "a lease on what does not run");
        self.leases.push(true);
    }

    fn check(&mut self) {
        let state = self.machine.state();
        self.failed_since = (state == State::Failed).then(|| self.machine.since());
        self.assert(self.machine.held() == self.held.len(), "the number of waiters");
        self.assert(self.held.len() <= self.policy.hold_max, "too many waiters");
        self.assert(self.machine.leases() == self.leases.len(), "the number of leases");
        let in_use = self.leases.iter().any(|counted| *counted);
        self.assert(state != State::Idle || !in_use, "idle although in use");
        self.assert(state != State::Ready || in_use, "ready without a lease in use");
        self.assert(
            !matches!(state, State::Ready | State::Idle) || self.held.is_empty(),
            "held although it is up",
        );
        self.assert(state != State::Frozen || self.held.is_empty(), "held although nothing thaws it");
        let down = matches!(state, State::Stopped | State::Failed);
        self.assert(!down || self.held.is_empty(), "held although nothing starts it");
        self.assert(state != State::Frozen || !in_use, "in use although nothing thaws it");
        let clock = self.machine.deadline();
        let ends = self.held.values().next().map(|came| *came + self.policy.hold_timeout);
        self.assert(ends.is_none() || clock.is_some_and(|at| Some(at) <= ends), "nothing ends the wait");
        if matches!(state, State::Stopped | State::Failed) {
            self.rests();
        }
        let actual = self.machine.snapshot().evictions;
        for why in [Eviction::ExclusiveGroup, Eviction::ConfigChanged, Eviction::Admin] {
            self.assert(
                actual.contains(why) == self.evictions.contains(&why),
                "another's reason was taken back",
            );
        }
        let sleeps = (self.policy.stop_after.is_some()
            || self.policy.freeze_after.is_some()
            || !self.evictions.is_empty())
            && self.policy.stop_foreign;
        let idles = state == State::Idle && !self.warm;
        self.assert(!idles || !sleeps || clock.is_some(), "the idle clock does not run");
        self.assert(state != State::Failed || !self.warm || clock.is_some(), "kept warm without a retry");
        self.assert(state != State::Ready || clock.is_none(), "the idle clock runs although it is used");
    }

    #[track_caller]
    fn assert(&self, holds: bool, what: &str) {
        if !holds {
            let log = self.log.iter().rev().take(40).rev().cloned().collect::<Vec<_>>().join("\n  ");
            panic!("DORMOUSE_SEED={}: {what}; {:?}\n  {log}", self.seed, self.machine);
        }
    }
}

#[test]
fn invariants_hold_under_random_schedules() {
    let number = |name| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    if let Some(seed) = number("DORMOUSE_SEED") {
        return Simulation::new(seed).run();
    }
    for seed in 0..number("DORMOUSE_SEEDS").unwrap_or(SEEDS) {
        Simulation::new(seed).run();
    }
}
