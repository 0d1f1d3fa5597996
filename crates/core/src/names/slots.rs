//! Which slot each server of a name has: there is a fixed number of them, and a server keeps its own until its last
//! session has ended.

use super::Server;

/// The slots of one name.
#[derive(Debug, Clone)]
pub struct Slots {
    slots: Vec<Slot>,
    left_out: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Empty,
    Taken {
        server: Server,
        backup: bool,
    },
    /// The name does not have it any more, and its sessions go on.
    Leaving(Server),
}

/// What is to be done with a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// This server has it now, or has another weight or rank, and gets sessions.
    Fill {
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
    Clear(usize),
}

impl Slots {
    /// So many slots, all empty.
    pub fn new(count: usize) -> Self {
        Self { slots: vec![Slot::Empty; count], left_out: 0 }
    }

    /// How many servers found no slot the last time.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Whether a server that leaves still has its slot.
    pub fn anybody_leaves(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot, Slot::Leaving(_)))
    }

    /// Gives the servers that a name has now their slots. `sessions` tells how many a slot has.
    pub fn take(&mut self, servers: &[Server], sessions: impl Fn(usize) -> u32) -> Vec<Order> {
        let mut orders = Vec::new();
        let lowest = servers.iter().map(|server| server.priority).min().unwrap_or_default();
        for (number, slot) in self.slots.iter_mut().enumerate() {
            let (Slot::Taken { server: tenant, .. } | Slot::Leaving(tenant)) = *slot else { continue };
            let before = *slot;
            *slot = match servers.iter().find(|server| server.address == tenant.address) {
                Some(server) => Slot::Taken { server: *server, backup: server.priority > lowest },
                None if sessions(number) == 0 => Slot::Empty,
                None => Slot::Leaving(tenant),
            };
            if *slot != before {
                orders.push(slot.order(number));
            }
        }
        self.left_out = 0;
        for server in servers {
            let has = |slot: &Slot| matches!(slot, Slot::Taken { server: other, .. } if other.address == server.address);
            if self.slots.iter().any(has) {
                continue;
            }
            let free = self.slots.iter_mut().enumerate().find(|(_, slot)| **slot == Slot::Empty);
            let Some((number, slot)) = free else {
                self.left_out += 1;
                continue;
            };
            *slot = Slot::Taken { server: *server, backup: server.priority > lowest };
            orders.push(slot.order(number));
        }
        orders
    }
}

impl Slot {
    /// What brings the slot to where this says it is.
    fn order(self, slot: usize) -> Order {
        match self {
            Self::Empty => Order::Clear(slot),
            Self::Taken { server, backup } => Order::Fill { slot, server, backup },
            Self::Leaving(_) => Order::Drain(slot),
        }
    }
}
