//! What a pool keeps under its lock: the core's machine, the clients in the queue, and the checks.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use dormouse_config::model::ServiceConfig;
use dormouse_core::address::Target;
use dormouse_core::pool::{
    self as core, CheckSettings, Grant, Health, Member, Pick, PickContext, PoolSettings, SlotState, WaiterId,
};
use tokio::sync::oneshot;

use super::outages::Outages;
use super::view::LastCheck;
use crate::upstream::admin::AdminOverrides;

/// What a pool keeps under its lock.
#[derive(Debug)]
pub(super) struct PoolState {
    pub(super) machine: core::Pool,
    /// The clients in the queue.
    pub(super) waiters: HashMap<WaiterId, oneshot::Sender<Pick>>,
    /// The last check of each server.
    pub(super) last_checks: Vec<Option<LastCheck>>,
    /// When each server's task makes its next check.
    armed_checks: Vec<Option<Instant>>,
    random: u64,
    pub(super) outages: Outages,
}

impl PoolState {
    pub(super) fn new(config: &ServiceConfig, overrides: &AdminOverrides, mut random: u64) -> Self {
        let now = Instant::now();
        let count = u32::try_from(config.servers.len()).unwrap_or(u32::MAX);
        let members = (0u32..).zip(&config.servers).map(|(index, server)| {
            let checks = server.check.as_ref().map(|check| check.rules.clone());
            let offset = checks
                .as_ref()
                .map_or(Duration::ZERO, |checks| check_offset(checks, index, count, &mut random));
            let empty = matches!(server.to, Target::Slot { .. });
            let slot_state = if empty { SlotState::Empty } else { SlotState::Active };
            let health = Health::new(checks, overrides.state(server), now, offset);
            let member = Member::new(health, overrides.weight(server), server.backup, server.maxconn);
            (server.name.as_str(), member.with_slot_state(slot_state))
        });
        let members: Vec<_> = members.collect();
        let settings = PoolSettings {
            balance: config.balance,
            queue_max: usize::try_from(config.queue.max.get()).unwrap_or(usize::MAX),
            fail_open: config.fail_open,
        };
        let (last_checks, armed_checks) = (vec![None; members.len()], vec![None; members.len()]);
        let machine = core::Pool::new(settings, members);
        let outages = Outages::new(machine.has_usable_server(), now);
        Self { machine, waiters: HashMap::new(), last_checks, armed_checks, random, outages }
    }

    /// Returns what a choice depends on besides the servers.
    pub(super) fn pick_context(&mut self, client_hash: u64) -> PickContext {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        PickContext { client_hash, random: core::hash(&self.random.to_le_bytes()) }
    }

    /// Gives slots to the clients in the queue. A slot whose client has left goes to the next client.
    pub(super) fn grant(&mut self, now: Instant, mut grants: Vec<Grant>) {
        while !grants.is_empty() {
            let mut further = Vec::new();
            for Grant { waiter, pick } in grants {
                let taken = self.waiters.remove(&waiter).is_some_and(|sender| sender.send(pick).is_ok());
                if !taken {
                    self.machine.release(now, pick.server, &mut further);
                }
            }
            grants = further;
        }
    }

    /// Records whether a server takes sessions.
    pub(super) fn note_outage(&mut self, now: Instant) {
        let usable = self.machine.has_usable_server();
        self.outages.note(now, usable);
    }

    /// Returns when the next check of a server is due, and stores it as the time for which the task waits.
    pub(super) fn arm_check(&mut self, server: usize) -> Option<Instant> {
        let due = self.machine.next_check(server);
        if let Some(armed) = self.armed_checks.get_mut(server) {
            *armed = due;
        }
        due
    }

    /// Returns whether the next check of a server is due earlier than its task expects.
    pub(super) fn rearm_check(&mut self, server: usize) -> bool {
        let due = self.machine.next_check(server);
        let Some(armed) = self.armed_checks.get_mut(server) else { return false };
        let earlier = due.is_some_and(|due| armed.is_none_or(|armed| due < armed));
        if earlier {
            *armed = due;
        }
        earlier
    }

    /// Keeps a check as the last one of its server. Returns false for a check of the server that had this place before.
    pub(super) fn keep_check(&mut self, server: usize, check: LastCheck) -> bool {
        let since = self.machine.members().get(server).map(|member| member.health().since());
        if since.is_none_or(|since| check.at < since) {
            return false;
        }
        if let Some(last) = self.last_checks.get_mut(server) {
            *last = Some(check);
        }
        true
    }
}

/// Returns the time until the first check of a server. The servers' first checks are spread over an interval, and those
/// of several services are spread at random.
fn check_offset(checks: &CheckSettings, index: u32, count: u32, random: &mut u64) -> Duration {
    *random = core::hash(&random.to_le_bytes());
    let thousandths = u32::try_from(*random % 1000).unwrap_or_default();
    let step = checks.inter / count.max(1);
    step.saturating_mul(index).saturating_add(step / 1000 * thousandths)
}
