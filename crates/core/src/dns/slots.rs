//! Which slot each server of a name has: there is a fixed number of them, and a server keeps its own until its last
//! session has ended.

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
    /// The name does not have it any more, and its sessions go on.
    Draining(Server),
}

/// What is to be done with a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotChange {
    /// This server has it now, or has another weight or rank, and gets sessions.
    Assign {
        /// Which slot.
        slot: usize,
        /// The server.
        server: Server,
        /// It serves only while those of a lower priority do not.
        backup: bool,
    },
    /// The server that has it gets no more sessions.
    Drain(usize),
    /// Nobody has it any more.
    Free(usize),
}

impl Slots {
    /// So many slots, all empty.
    pub fn new(count: usize) -> Self {
        Self { slots: vec![Slot::Empty; count], unassigned: 0 }
    }

    /// How many servers found no slot the last time.
    pub fn unassigned(&self) -> usize {
        self.unassigned
    }

    /// Whether a server that leaves still has its slot.
    pub fn has_draining(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot, Slot::Draining(_)))
    }

    /// Gives the servers that a name has now their slots. `sessions` tells how many a slot has.
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
    /// What brings the slot to where this says it is.
    fn change(self, slot: usize) -> SlotChange {
        match self {
            Self::Empty => SlotChange::Free(slot),
            Self::Assigned { server, backup } => SlotChange::Assign { slot, server, backup },
            Self::Draining(_) => SlotChange::Drain(slot),
        }
    }
}
