//! The ports of a workload: the addresses at which it answers. Each has clients of its own, and each is ready for itself.

use std::time::Instant;

use super::{Phase, StateMachine};
use crate::activation::{Action, Port};

/// One port of a workload.
#[derive(Debug, Default)]
pub(super) struct PortState {
    /// Whether it has answered since the last start.
    pub(super) ready: bool,
    /// The number of leases.
    pub(super) leases: usize,
    /// The number of held clients.
    pub(super) held: usize,
    /// Whether an administrator drains it.
    drained: bool,
}

impl StateMachine {
    /// Adds a port.
    pub fn open_port(&mut self) -> Port {
        self.issued_ports += 1;
        let port = Port(self.issued_ports);
        self.ports.insert(port, PortState::default());
        self.update_drained();
        port
    }

    /// Removes a port that has no clients any more.
    pub fn close_port(&mut self, now: Instant, port: Port, out: &mut Vec<Action>) {
        self.ports.remove(&port);
        self.update_drained();
        self.tick(now, out);
    }

    /// Whether the workload has no port, so that nobody can use it.
    pub fn has_no_port(&self) -> bool {
        self.ports.is_empty()
    }

    /// An administrator drains a port, or wants it to take sessions again. The workload stops as soon as it is unused if
    /// all of its ports are drained.
    pub fn drain_port(&mut self, now: Instant, port: Port, drained: bool, out: &mut Vec<Action>) {
        if let Some(state) = self.ports.get_mut(&port) {
            state.drained = drained;
        }
        self.update_drained();
        self.tick(now, out);
    }

    /// The number of leases of a port, and of clients that wait for one.
    pub fn load(&self, port: Port) -> (usize, usize) {
        self.ports.get(&port).map_or((0, 0), |state| (state.leases, state.held))
    }

    /// Whether a client of this port that asks now gets a lease at once.
    pub fn is_up(&self, port: Port) -> bool {
        self.phase == Phase::Up && self.is_ready(port)
    }

    pub(super) fn is_ready(&self, port: Port) -> bool {
        self.ports.get(&port).is_some_and(|state| state.ready)
    }

    pub(super) fn set_ready(&mut self, port: Port) {
        if let Some(state) = self.ports.get_mut(&port) {
            state.ready = true;
        }
    }

    /// The workload does not run any more, so no port answers.
    pub(super) fn clear_ready(&mut self) {
        for state in self.ports.values_mut() {
            state.ready = false;
        }
    }

    /// Gives leases to the held clients of the ports that are ready.
    pub(super) fn grant_ready(&mut self, out: &mut Vec<Action>) {
        for waiter in self.held.of(|port| self.is_ready(port)) {
            if let Some(port) = self.remove_held(waiter) {
                self.add_lease(port);
                out.push(Action::Grant(waiter));
            }
        }
    }

    pub(super) fn add_lease(&mut self, port: Port) {
        self.leases += 1;
        self.in_use += 1;
        if let Some(state) = self.ports.get_mut(&port) {
            state.leases += 1;
        }
    }

    pub(super) fn remove_lease(&mut self, port: Port) {
        self.leases = self.leases.saturating_sub(1);
        if let Some(state) = self.ports.get_mut(&port) {
            state.leases = state.leases.saturating_sub(1);
        }
    }

    fn update_drained(&mut self) {
        let drained = !self.ports.is_empty() && self.ports.values().all(|state| state.drained);
        self.evictions.set_admin(drained);
    }
}
