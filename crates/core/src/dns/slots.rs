//! The assignment of DNS servers to a fixed number of pool slots. A server keeps its slot until its last session ends.

use super::Server;

/// The slots of one name.
#[derive(Debug, Clone)]
pub struct Slots {
    slots: Vec<Slot>,
    unassigned: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Empty,
    Assigned {
        server: Server,
        backup: bool,
    },
    /// The DNS no longer has the server, but its sessions continue.
    Draining(Server),
}

/// A change of a slot, for the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotChange {
    /// The slot has this server, or the weight or rank of its server changed. The server gets sessions.
    Assign {
        /// The slot.
        slot: usize,
        /// The server.
        server: Server,
        /// Whether the server only serves while no server with a lower priority number does.
        backup: bool,
    },
    /// The server of this slot gets no new sessions.
    Drain(usize),
    /// The slot is empty.
    Free(usize),
}

impl Slots {
    /// Creates `count` empty slots.
    pub fn new(count: usize) -> Self {
        Self { slots: vec![Slot::Empty; count], unassigned: 0 }
    }

    /// The number of servers without a slot after the last assignment.
    pub fn unassigned(&self) -> usize {
        self.unassigned
    }

    /// Whether a removed server still has its slot.
    pub fn has_draining(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot, Slot::Draining(_)))
    }

    /// Assigns the current servers of a name to slots. `sessions` returns the number of sessions of a slot.
    pub fn assign(&mut self, servers: &[Server], sessions: impl Fn(usize) -> u32) -> Vec<SlotChange> {
        let mut changes = Vec::new();
        let lowest = servers.iter().map(|server| server.priority).min().unwrap_or_default();
        for (number, slot) in self.slots.iter_mut().enumerate() {
            let (Slot::Assigned { server: current, .. } | Slot::Draining(current)) = *slot else { continue };
            let before = *slot;
            *slot = match servers.iter().find(|server| server.address == current.address) {
                Some(server) => Slot::Assigned { server: *server, backup: server.priority > lowest },
                None if sessions(number) == 0 => Slot::Empty,
                None => Slot::Draining(current),
            };
            if *slot != before {
                changes.push(slot.change(number));
            }
        }
        self.unassigned = 0;
        for server in servers {
            let has = |slot: &Slot| matches!(slot, Slot::Assigned { server: other, .. } if other.address == server.address);
            if self.slots.iter().any(has) {
                continue;
            }
            let free = self.slots.iter_mut().enumerate().find(|(_, slot)| **slot == Slot::Empty);
            let Some((number, slot)) = free else {
                self.unassigned += 1;
                continue;
            };
            *slot = Slot::Assigned { server: *server, backup: server.priority > lowest };
            changes.push(slot.change(number));
        }
        changes
    }
}

impl Slot {
    /// The change that brings the pool to this slot's state.
    fn change(self, slot: usize) -> SlotChange {
        match self {
            Self::Empty => SlotChange::Free(slot),
            Self::Assigned { server, backup } => SlotChange::Assign { slot, server, backup },
            Self::Draining(_) => SlotChange::Drain(slot),
        }
    }
}
