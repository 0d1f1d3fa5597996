//! What others may see of servers, and change.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_core::pool::{AdminState, CheckCounter, CheckResult, Member, SlotState, Status};

use super::{Outages, Pool, Tally};
use crate::upstream::Service;

/// A server as it is now.
#[derive(Debug, Clone)]
pub struct ServerView {
    /// How it is reached.
    pub address: String,
    /// Where it stands, an administrator's wish included.
    pub status: Status,
    /// What an administrator lets it have, or what comes to the same: an empty slot is in maintenance.
    pub admin: AdminState,
    /// Whether a server has its slot; always where it has none.
    pub presence: SlotState,
    /// Since when it stands there.
    pub since: Instant,
    /// Whether it can serve, as far as checks tell.
    pub is_up: bool,
    /// Whether it is checked.
    pub is_checked: bool,
    /// How often it went down.
    pub downs: u64,
    /// What its checks said in a row, while it is checked.
    pub streak: Option<CheckCounter>,
    /// How many checks failed.
    pub failed_checks: u64,
    /// For how long it was down or in maintenance.
    pub downtime: Duration,
    /// What part of its weight it has, in percent, while that grows.
    pub throttle: Option<u32>,
    /// Its share of the sessions, 0 to 256.
    pub weight: u32,
    /// Whether it only serves while no other does.
    pub backup: bool,
    /// How many sessions it may have.
    pub maxconn: Option<NonZeroU32>,
    /// How many it has.
    pub sessions: u32,
    /// What clients met there instead of a connection.
    pub tally: Tally,
    /// Its last check.
    pub last_check: Option<LastCheck>,
}

/// A check that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastCheck {
    /// When it began.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// What it found.
    pub finding: CheckResult,
    /// Why it failed, or could not be made; empty if it passed.
    pub text: String,
}

/// A server, for who wants to change something about it.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    pool: Arc<Pool>,
    server: usize,
}

impl Service {
    /// The servers as they are now, in the order in which they are listed. Empty for a service of one server without
    /// rules: all that there is to say of it is said of the service.
    pub fn servers(&self) -> Vec<ServerView> {
        self.pool.as_ref().map(|pool| pool.view()).unwrap_or_default()
    }

    /// When no server took sessions. `None` for a service of one server without rules.
    pub fn outages(&self) -> Option<Outages> {
        Some(self.pool.as_ref()?.lock().outages)
    }

    /// How many clients wait for a server.
    #[cfg(test)]
    pub fn queued(&self) -> usize {
        self.pool.as_ref().map_or(0, |pool| pool.lock().machine.waiting())
    }

    /// The server of this name.
    pub fn server(&self, name: &str) -> Option<ServerHandle> {
        let pool = Arc::clone(self.pool.as_ref()?);
        let server = pool.slots.iter().position(|slot| slot.name == name)?;
        Some(ServerHandle { pool, server })
    }
}

impl Pool {
    /// What an administrator wants of a server.
    pub(in crate::upstream) fn admin(&self, server: usize) -> AdminState {
        self.lock().machine.members().get(server).map(|member| member.health().admin()).unwrap_or_default()
    }

    /// Ready, drained or in maintenance.
    pub(in crate::upstream) fn set_admin(&self, server: usize, admin: AdminState) {
        let before = self.status(server);
        self.step(|inner, now, out| inner.machine.set_admin(now, server, admin, out));
        self.told(server, before, "by an administrator");
    }

    /// A server's share of the sessions.
    pub(in crate::upstream) fn weight(&self, server: usize) -> Option<u32> {
        self.lock().machine.members().get(server).map(Member::weight)
    }

    fn view(&self) -> Vec<ServerView> {
        let (now, inner) = (Instant::now(), self.lock());
        let members = inner.machine.members().iter().zip(&self.slots).zip(&inner.last_checks);
        let view = members.map(|((member, slot), last_check)| {
            let health = member.health();
            ServerView {
                address: slot.address(),
                status: member.status(),
                admin: member.admin(),
                presence: member.slot_state(),
                since: health.since(),
                is_up: member.is_up(),
                is_checked: health.is_checked(),
                downs: health.down_count(),
                streak: health.check_counter().filter(|_| member.admin() != AdminState::Maint),
                failed_checks: health.failed_checks(),
                downtime: health.downtime(now),
                throttle: health.throttle(now).filter(|_| member.takes_sessions()),
                weight: member.weight(),
                backup: member.is_backup(),
                maxconn: member.maxconn(),
                sessions: member.sessions(),
                tally: slot.troubles.tally(),
                last_check: last_check.clone(),
            }
        });
        view.collect()
    }
}

impl ServerHandle {
    /// Its share of the sessions; 0: no new ones.
    pub fn set_weight(&self, weight: u32) {
        self.pool.step(|inner, now, out| inner.machine.set_weight(now, self.server, weight, out));
    }

    /// How many sessions it may have. Those above it stay.
    pub fn set_maxconn(&self, maxconn: Option<NonZeroU32>) {
        self.pool.step(|inner, now, out| inner.machine.set_maxconn(now, self.server, maxconn, out));
    }
}
