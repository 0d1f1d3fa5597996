//! Slots that servers by name come to and leave.

use std::net::SocketAddr;
use std::sync::PoisonError;

use dormouse_core::pool::{Member, SlotState};

use super::{Pool, Slot};

impl Pool {
    /// How many sessions a server has.
    pub(in crate::upstream) fn sessions(&self, server: usize) -> u32 {
        self.lock().machine.members().get(server).map_or(0, Member::sessions)
    }

    /// A server has the slot, perhaps another one or with another share.
    pub(in crate::upstream) fn fill_slot(
        &self,
        server: usize,
        address: SocketAddr,
        weight: u32,
        backup: bool,
    ) {
        if let Some(slot) = self.slots.get(server) {
            *slot.address.lock().unwrap_or_else(PoisonError::into_inner) = address.to_string();
        }
        self.step(|inner, now, out| {
            inner.machine.set_weight(now, server, weight, out);
            inner.machine.set_backup(now, server, backup, out);
        });
        self.be(server, SlotState::Active);
    }

    /// The server that has the slot gets no more sessions.
    pub(in crate::upstream) fn drain_slot(&self, server: usize) {
        self.be(server, SlotState::Draining);
    }

    /// Nobody has the slot any more.
    pub(in crate::upstream) fn clear_slot(&self, server: usize) {
        self.be(server, SlotState::Empty);
    }

    fn be(&self, server: usize, presence: SlotState) {
        self.step(|inner, now, out| {
            inner.machine.set_slot_state(now, server, presence, out);
            if let (SlotState::Empty, Some(last)) = (presence, inner.last_checks.get_mut(server)) {
                *last = None;
            }
        });
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

impl Slot {
    /// How the server is reached.
    pub(super) fn address(&self) -> String {
        self.address.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
