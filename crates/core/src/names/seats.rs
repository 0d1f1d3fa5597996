//! Which seat each server of a name has: there is a fixed number of them, and a server keeps its own until its last
//! session has ended.

use super::Server;

/// The seats of one name.
#[derive(Debug, Clone)]
pub struct Seats {
    seats: Vec<Seat>,
    left_out: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seat {
    Empty,
    Taken {
        server: Server,
        backup: bool,
    },
    /// The name does not have it any more, and its sessions go on.
    Leaving(Server),
}

/// What is to be done with a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// This server sits there now, or has another weight or rank, and gets sessions.
    Seat {
        /// Which seat.
        seat: usize,
        /// The server.
        server: Server,
        /// It serves only while those of a lower priority do not.
        backup: bool,
    },
    /// The server that sits there gets no more sessions.
    Drain(usize),
    /// Nobody sits there any more.
    Clear(usize),
}

impl Seats {
    /// So many seats, all empty.
    pub fn new(count: usize) -> Self {
        Self { seats: vec![Seat::Empty; count], left_out: 0 }
    }

    /// How many servers found no seat the last time.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Whether a server that leaves still has its seat.
    pub fn anybody_leaves(&self) -> bool {
        self.seats.iter().any(|seat| matches!(seat, Seat::Leaving(_)))
    }

    /// Gives the servers that a name has now their seats. `sessions` tells how many a seat has.
    pub fn take(&mut self, servers: &[Server], sessions: impl Fn(usize) -> u32) -> Vec<Order> {
        let mut orders = Vec::new();
        let lowest = servers.iter().map(|server| server.priority).min().unwrap_or_default();
        for (number, seat) in self.seats.iter_mut().enumerate() {
            let (Seat::Taken { server: sitting, .. } | Seat::Leaving(sitting)) = *seat else { continue };
            let before = *seat;
            *seat = match servers.iter().find(|server| server.address == sitting.address) {
                Some(server) => Seat::Taken { server: *server, backup: server.priority > lowest },
                None if sessions(number) == 0 => Seat::Empty,
                None => Seat::Leaving(sitting),
            };
            if *seat != before {
                orders.push(seat.order(number));
            }
        }
        self.left_out = 0;
        for server in servers {
            let sits = |seat: &Seat| matches!(seat, Seat::Taken { server: other, .. } if other.address == server.address);
            if self.seats.iter().any(sits) {
                continue;
            }
            let free = self.seats.iter_mut().enumerate().find(|(_, seat)| **seat == Seat::Empty);
            let Some((number, seat)) = free else {
                self.left_out += 1;
                continue;
            };
            *seat = Seat::Taken { server: *server, backup: server.priority > lowest };
            orders.push(seat.order(number));
        }
        orders
    }
}

impl Seat {
    /// What brings the seat to where this says it is.
    fn order(self, seat: usize) -> Order {
        match self {
            Self::Empty => Order::Clear(seat),
            Self::Taken { server, backup } => Order::Seat { seat, server, backup },
            Self::Leaving(_) => Order::Drain(seat),
        }
    }
}
