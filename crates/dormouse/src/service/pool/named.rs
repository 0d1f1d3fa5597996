//! Seats that servers by name come to and leave.

use std::net::SocketAddr;
use std::sync::PoisonError;

use dormouse_core::pool::{Admin, Member};

use super::{Pool, Seat};

impl Pool {
    /// How many sessions a server has.
    pub(in crate::service) fn sessions(&self, server: usize) -> u32 {
        self.lock().machine.members().get(server).map_or(0, Member::sessions)
    }

    /// Another server sits there, or has another share.
    pub(in crate::service) fn reseat(
        &self,
        server: usize,
        address: Option<SocketAddr>,
        weight: u32,
        backup: bool,
        admin: Admin,
    ) {
        if let (Some(seat), Some(address)) = (self.seats.get(server), address) {
            *seat.address.lock().unwrap_or_else(PoisonError::into_inner) = address.to_string();
        }
        self.step(|inner, now, out| {
            inner.machine.set_weight(now, server, weight, out);
            inner.machine.set_backup(now, server, backup, out);
        });
        self.stand_up(server, admin);
    }

    /// The server gets no more sessions (drain), or nobody sits there any more (maintenance).
    pub(in crate::service) fn stand_up(&self, server: usize, admin: Admin) {
        self.step(|inner, now, out| {
            inner.machine.change(now, server, out, |health| {
                if health.admin() != admin {
                    health.set_admin(now, admin);
                }
                None
            })
        });
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

impl Seat {
    /// How the server is reached.
    pub(super) fn address(&self) -> String {
        self.address.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
