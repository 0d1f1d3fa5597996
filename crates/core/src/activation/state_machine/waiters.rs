//! The held clients, counted by port.

use std::time::Instant;

use super::StateMachine;
use crate::activation::{Action, LeaseRefusal, Port, WaiterId};

impl StateMachine {
    /// A held client left. No action follows for it.
    pub fn cancel(&mut self, waiter: WaiterId) {
        self.remove_held(waiter);
    }

    pub(super) fn hold(&mut self, port: Port, deadline: Instant, may_wake: bool) -> WaiterId {
        if let Some(state) = self.ports.get_mut(&port) {
            state.held += 1;
        }
        self.held.push(port, deadline, may_wake)
    }

    pub(super) fn remove_held(&mut self, waiter: WaiterId) -> Option<Port> {
        let port = self.held.remove(waiter)?;
        self.forget_held(port);
        Some(port)
    }

    pub(super) fn refuse_expired(&mut self, now: Instant, out: &mut Vec<Action>) {
        while let Some((waiter, port)) = self.held.pop_expired(now) {
            self.forget_held(port);
            out.push(Action::Refuse(waiter, LeaseRefusal::HoldTimeout));
        }
    }

    pub(super) fn refuse_all(&mut self, refusal: LeaseRefusal, out: &mut Vec<Action>) {
        while let Some((waiter, port)) = self.held.pop() {
            self.forget_held(port);
            out.push(Action::Refuse(waiter, refusal));
        }
    }

    fn forget_held(&mut self, port: Port) {
        if let Some(state) = self.ports.get_mut(&port) {
            state.held = state.held.saturating_sub(1);
        }
    }
}
