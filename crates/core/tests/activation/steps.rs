//! The random steps of a schedule.

use dormouse_core::activation::{
    AdminError, Event, Eviction, LeaseRefusal, LeaseRequest, LeaseResponse, State,
};

use super::simulation::{HeldClient, SimulatedPort, Simulation, Workload};

impl Simulation {
    pub(super) fn step(&mut self, step: u64) {
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
                    let lease = self.leases.swap_remove(index);
                    self.release(lease);
                }
            }
            60..64 => {
                if let Some(lease) = self.leases.iter_mut().find(|lease| lease.counted) {
                    lease.counted = false;
                    self.last_use = self.now;
                    self.machine.session_idle(self.now, &mut out);
                }
            }
            64..68 => {
                if let Some(lease) = self.leases.iter_mut().find(|lease| !lease.counted) {
                    lease.counted = true;
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
                self.admin_command = true;
                self.apply(std::mem::take(&mut out));
                self.admin_command = false;
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
            86..88 => return self.drain_a_port(),
            88..90 => return self.a_port_comes_or_goes(),
            81..83 => self.all_sessions_become_idle(),
            90..92 => {
                self.log.push("serves a client".to_owned());
                self.failed_since = None;
                self.machine.mark_served(self.now, &mut out);
            }
            83..86 => return self.run_admin_command(),
            77..79 => {
                let all = [Eviction::ExclusiveGroup, Eviction::ConfigChanged];
                let why = all[usize::try_from(self.random.below(2)).unwrap()];
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

    /// An administrator drains a port, or wants it back.
    fn drain_a_port(&mut self) {
        let port = self.any_port();
        let drained = self.random.chance(50);
        self.log.push(format!("{port:?} drained: {drained}"));
        for one in self.ports.iter_mut().filter(|one| one.port == port) {
            one.drained = drained;
        }
        self.update_drained();
        let mut out = Vec::new();
        self.machine.drain_port(self.now, port, drained, &mut out);
        self.apply(out);
        self.check();
    }

    /// A reload brings a port, or takes one that has no clients.
    fn a_port_comes_or_goes(&mut self) {
        if self.ports.len() < 4 && self.random.chance(50) {
            let port = SimulatedPort::open(&mut self.machine, &mut self.random);
            self.log.push(format!("{:?} comes", port.port));
            self.ports.push(port);
            self.update_drained();
            return self.check();
        }
        let index = usize::try_from(self.random.below(self.ports.len() as u64)).unwrap();
        let port = self.ports[index].port;
        if self.ports.len() > 1 && self.machine.load(port) == (0, 0) {
            self.log.push(format!("{port:?} goes"));
            self.ports.remove(index);
            self.update_drained();
            // The workload answers at another port then.
            let (other, workload) = (self.any_port(), &mut self.workload);
            workload.slow_ports.retain(|(_, slow)| *slow != port);
            workload.answers.remove(&port);
            if let Some((_, Event::Ready(first))) = &mut workload.next_event {
                if *first == port {
                    *first = other;
                }
            }
            let mut out = Vec::new();
            self.machine.close_port(self.now, port, &mut out);
            self.apply(out);
            self.check();
        }
    }

    fn update_drained(&mut self) {
        self.evictions.retain(|why| *why != Eviction::Admin);
        if self.ports.iter().all(|port| port.drained) {
            self.evictions.push(Eviction::Admin);
        }
    }

    /// An administrator command.
    fn run_admin_command(&mut self) {
        let (used, warm) = (self.in_use() || !self.held.is_empty(), self.warm);
        let state = self.machine.state();
        let mut out = Vec::new();
        let done = match self.random.below(3) {
            0 => self.machine.stop_by_admin(self.now, &mut out),
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
        let index = usize::try_from(self.random.below(self.ports.len() as u64)).unwrap();
        let SimulatedPort { port, hold_timeout, hold_max, .. } = self.ports[index];
        let request = LeaseRequest { port, may_wake, hold_timeout, hold_max };
        let before = self.machine.state();
        let mut out = Vec::new();
        let arrival = self.machine.request_lease(self.now, request, &mut out);
        self.log.push(format!("client of {port:?}, may_wake {may_wake}: {arrival:?}"));
        match arrival {
            LeaseResponse::Granted => self.grant(port),
            LeaseResponse::Held(waiter) => {
                let client = HeldClient { port, end: self.now + hold_timeout, may_wake };
                let known = self.held.insert(waiter, client);
                self.assert(known.is_none(), "a waiter's name is used twice");
                self.assert(
                    may_wake || !matches!(before, State::Stopped | State::Frozen),
                    "woken by a client that may not wake it",
                );
            }
            LeaseResponse::Refused(LeaseRefusal::QueueFull) => {
                let held = self.held.values().filter(|client| client.port == port).count();
                self.assert(held == hold_max, "turned away although there is room");
            }
            LeaseResponse::Refused(LeaseRefusal::WakeNotAllowed) => {
                self.assert(!may_wake, "turned away although it may wake");
            }
            LeaseResponse::Refused(LeaseRefusal::Backoff) => {
                self.assert(matches!(before, State::Failed | State::Stopping), "a backoff without a failure");
            }
            LeaseResponse::Refused(refusal) => self.assert(false, &format!("refused at once: {refusal}")),
        }
        self.apply(out);
    }

    /// All sessions become idle, long enough for several idle times to pass.
    fn all_sessions_become_idle(&mut self) {
        while let Some(lease) = self.leases.iter_mut().find(|lease| lease.counted) {
            lease.counted = false;
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
}
