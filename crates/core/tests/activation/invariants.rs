//! The invariants that hold after every step.

use std::time::Duration;

use dormouse_core::activation::{Eviction, State};

use super::simulation::{SimulatedPort, Simulation};

impl Simulation {
    /// The workload may only sleep when it is unused, after its idle time and its minimum uptime.
    pub(super) fn assert_may_sleep(&self, after: Option<Duration>) {
        if self.admin_command {
            let wanted = self.warm || self.in_use() || !self.held.is_empty();
            return self.assert(!wanted, "put to sleep although it is wanted");
        }
        self.assert(!self.foreign || self.policy.stop_foreign, "a foreign workload is stopped");
        if self.workload.running {
            let long_enough =
                !self.evictions.is_empty() || after.is_some_and(|after| self.now >= self.last_use + after);
            let thrashes = self.evictions.iter().all(|why| *why == Eviction::ExclusiveGroup);
            let mature = !thrashes || self.now >= self.up_since + self.policy.minimum_uptime;
            self.assert(long_enough && mature, "it sleeps too early");
            self.assert(!self.warm && !self.in_use(), "it sleeps although it is wanted");
        }
    }

    /// Only a client that may wake the workload does so, an administrator, or the time of day.
    pub(super) fn assert_may_wake(&self) {
        let by_client = self.held.values().any(|client| client.may_wake) || self.in_use();
        self.assert(by_client || self.warm || self.admin_command, "woken by nobody who may");
    }

    pub(super) fn check(&mut self) {
        let state = self.machine.state();
        self.failed_since = (state == State::Failed).then(|| self.machine.since());
        self.assert(self.machine.held() == self.held.len(), "the number of waiters");
        for SimulatedPort { port, hold_max, .. } in &self.ports {
            let held = self.held.values().filter(|client| client.port == *port).count();
            self.assert(held <= *hold_max, "too many waiters");
            let leases = self.leases.iter().filter(|lease| lease.port == *port).count();
            self.assert(self.machine.load(*port) == (leases, held), "the load of a port");
            let is_up = matches!(state, State::Ready | State::Idle) && self.workload.answers.contains(port);
            self.assert(self.machine.is_up(*port) == is_up, "up although it does not answer");
            self.assert(!is_up || held == 0, "held although it is up");
        }
        self.assert(self.machine.leases() == self.leases.len(), "the number of leases");
        let in_use = self.in_use();
        let wanted = in_use || !self.held.is_empty();
        self.assert(state != State::Idle || !wanted, "idle although in use");
        self.assert(state != State::Ready || wanted, "ready without a lease in use");
        self.assert(state != State::Frozen || self.held.is_empty(), "held although nothing thaws it");
        let down = matches!(state, State::Stopped | State::Failed);
        let starts =
            self.machine.pause().is_some() && self.machine.snapshot().retry_at >= self.machine.deadline();
        self.assert(!down || self.held.is_empty() || starts, "held although nothing starts it");
        self.assert(state != State::Frozen || !in_use, "in use although nothing thaws it");
        let clock = self.machine.deadline();
        let ends = self.held.values().map(|client| client.end).min();
        self.assert(ends.is_none() || clock.is_some_and(|at| Some(at) <= ends), "nothing ends the wait");
        if matches!(state, State::Stopped | State::Failed) {
            self.rests();
        }
        let drained = self.ports.iter().all(|port| port.drained);
        self.assert(drained == self.evictions.contains(&Eviction::Admin), "drained, not all ports");
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
        self.assert(state != State::Ready || clock == ends, "the idle clock runs although it is used");
    }
}
