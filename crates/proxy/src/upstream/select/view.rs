//! What administrators see of servers, and change.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_core::pool::{AdminState, CheckCounter, CheckResult, Member, SlotState, Status};

use super::{Pool, PoolServer, RetryCounts};

/// A server as it is now.
#[derive(Debug, Clone)]
pub struct ServerView {
    /// How the server is reached.
    pub address: String,
    /// The status, including the administrative state.
    pub status: Status,
    /// The administrative state. An empty slot is in maintenance.
    pub admin: AdminState,
    /// Whether the slot of a server that the DNS finds is in use. Always active for other servers.
    pub slot_state: SlotState,
    /// When the status began.
    pub since: Instant,
    /// Whether the server can serve, as far as checks have found.
    pub is_up: bool,
    /// Whether the server is checked.
    pub is_checked: bool,
    /// The number of times that the server went down.
    pub downs: u64,
    /// The number of equal results of checks in a row, while the server is checked.
    pub streak: Option<CheckCounter>,
    /// The number of failed checks.
    pub failed_checks: u64,
    /// How long the server was down or in maintenance.
    pub downtime: Duration,
    /// The part of its weight that the server has after it came up, in percent, until it has all of it.
    pub throttle: Option<u32>,
    /// The weight, 0 to 256.
    pub weight: u32,
    /// Whether the server only serves while no other server does.
    pub backup: bool,
    /// The maximum number of sessions.
    pub maxconn: Option<NonZeroU32>,
    /// The number of sessions.
    pub sessions: u32,
    /// How often clients had to try again at this server.
    pub retry_counts: RetryCounts,
    /// The last check.
    pub last_check: Option<LastCheck>,
}

impl ServerView {
    pub(super) fn new(
        member: &Member,
        server: &PoolServer,
        last_check: Option<LastCheck>,
        now: Instant,
    ) -> Self {
        let health = member.health();
        Self {
            address: server.address(),
            status: member.status(),
            admin: member.admin(),
            slot_state: member.slot_state(),
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
            retry_counts: server.retries.get(),
            last_check,
        }
    }
}

/// A check that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastCheck {
    /// When the check began.
    pub at: Instant,
    /// How long the check took.
    pub took: Duration,
    /// The result.
    pub finding: CheckResult,
    /// Why the check failed or was not possible. Empty for a check that passed.
    pub text: String,
}

/// A server whose settings an administrator may change.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    pool: Arc<Pool>,
    server: usize,
}

impl ServerHandle {
    /// Finds a server of a pool by its name.
    pub(in crate::upstream) fn find(pool: &Arc<Pool>, name: &str) -> Option<Self> {
        let server = pool.servers.iter().position(|server| server.name == name)?;
        Some(Self { pool: Arc::clone(pool), server })
    }

    /// Sets the weight of the server. A server of weight 0 gets no new sessions.
    pub fn set_weight(&self, weight: u32) {
        self.pool.step(|state, now, out| state.machine.set_weight(now, self.server, weight, out));
    }

    /// Sets the maximum number of sessions. Sessions above it stay.
    pub fn set_maxconn(&self, maxconn: Option<NonZeroU32>) {
        self.pool.step(|state, now, out| state.machine.set_maxconn(now, self.server, maxconn, out));
    }
}
