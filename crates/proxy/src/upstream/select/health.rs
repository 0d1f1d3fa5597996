//! The health, the administrative state and the addresses of the servers of a pool, and the log lines about changes.

use std::net::SocketAddr;
use std::time::Instant;

use dormouse_core::control::AdminState;
use dormouse_core::plural::counted;
use dormouse_core::pool::{CheckResult, Health, HealthChange, Member, SlotState, Status};
use dormouse_log::Level;
use dormouse_relay::AbortReason;

use super::pool_server::PoolServer;
use super::{LastCheck, Pool};

impl Pool {
    /// Returns whether health checks look after this server.
    pub(in crate::upstream) fn is_checked(&self, server: usize) -> bool {
        self.servers.get(server).is_some_and(|server| server.is_checked)
    }

    /// Records for the server's health whether a session got a connection.
    pub(in crate::upstream) fn record_session(&self, server: usize, connected: bool) {
        if self.is_checked(server) {
            self.update_health(server, "connections of sessions failed", |health, now| {
                health.record_session(now, connected)
            });
        }
    }

    /// Returns when the next check of a server is due. An earlier time is notified from now on.
    pub(super) fn arm_check(&self, server: usize) -> Option<Instant> {
        self.lock().arm_check(server)
    }

    /// Records the result of a check that began at `began`. `reason`: why it failed or was not possible.
    pub(super) fn record_check(&self, server: usize, result: CheckResult, reason: &str, began: Instant) {
        let last = LastCheck { at: began, took: began.elapsed(), finding: result, text: reason.to_owned() };
        if self.lock().keep_check(server, last) {
            self.update_health(server, reason, |health, now| health.record_check(now, result));
        }
    }

    /// Makes the next check of a server due now.
    pub(super) fn expedite_check(&self, server: usize) {
        self.update_health(server, "", |health, now| {
            health.expedite_check(now);
            None
        });
    }

    /// Records that a server sleeps, so that it is not checked.
    pub(super) fn mark_asleep(&self, server: usize) {
        self.update_health(server, "the workload is stopped", Health::mark_asleep);
    }

    /// Changes a server's health. `reason`: why it may have become worse.
    fn update_health(
        &self,
        server: usize,
        reason: &str,
        act: impl FnOnce(&mut Health, Instant) -> Option<HealthChange>,
    ) {
        let before = self.status(server);
        let change = self
            .step(|state, now, out| state.machine.update_health(now, server, out, |health| act(health, now)));
        let aborted = self
            .servers
            .get(server)
            .filter(|server| change == Some(HealthChange::Down) && server.ends_sessions);
        if let Some(server) = aborted {
            server.abort_sessions.send_replace(Some(AbortReason::ServerDown));
        }
        self.report_change(server, before, reason);
    }

    /// Returns the administrative state of a server.
    pub(in crate::upstream) fn admin(&self, server: usize) -> AdminState {
        self.lock().machine.members().get(server).map(|member| member.health().admin()).unwrap_or_default()
    }

    /// Sets the administrative state of a server.
    pub(in crate::upstream) fn set_admin(&self, server: usize, admin: AdminState) {
        let before = self.status(server);
        self.step(|state, now, out| state.machine.set_admin(now, server, admin, out));
        self.report_change(server, before, "set by an administrator");
    }

    /// Returns the weight of a server.
    pub(in crate::upstream) fn weight(&self, server: usize) -> Option<u32> {
        self.lock().machine.members().get(server).map(Member::weight)
    }

    /// Returns the number of sessions of a server.
    pub(in crate::upstream) fn sessions(&self, server: usize) -> u32 {
        self.lock().machine.members().get(server).map_or(0, Member::sessions)
    }

    /// Gives a place in the list to a server that the DNS found, or changes the one that has it.
    pub(in crate::upstream) fn assign(&self, server: usize, address: SocketAddr, weight: u32, backup: bool) {
        if let Some(server) = self.servers.get(server) {
            server.set_address(address);
        }
        self.step(|state, now, out| {
            state.machine.set_weight(now, server, weight, out);
            state.machine.set_backup(now, server, backup, out);
        });
        self.set_slot_state(server, SlotState::Active);
    }

    /// Changes whether a place in the list has a server. A place that becomes empty forgets its last check.
    pub(in crate::upstream) fn set_slot_state(&self, server: usize, slot_state: SlotState) {
        self.step(|state, now, out| {
            state.machine.set_slot_state(now, server, slot_state, out);
            if let (SlotState::Empty, Some(last)) = (slot_state, state.last_checks.get_mut(server)) {
                *last = None;
            }
        });
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    /// Reports the status of a server, if it has changed.
    fn report_change(&self, server: usize, before: Option<Status>, reason: &str) {
        if let (Some(before), Some(after)) = (before, self.status(server)) {
            if before != after {
                self.log_change(server, before, after, reason);
                self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
            }
        }
    }

    fn log_change(&self, server: usize, before: Status, after: Status, reason: &str) {
        let Some(PoolServer { name, .. }) = self.servers.get(server) else { return };
        let (left, sessions, waiting) = {
            let state = self.lock();
            let members = state.machine.members();
            let left = members.iter().filter(|member| member.takes_sessions()).count();
            let sessions = counted(members.get(server).map_or(0, Member::sessions), "session", "sessions");
            (left, sessions, counted(state.machine.waiting(), "client waits", "clients wait"))
        };
        let level = if after == Status::Down { Level::Warning } else { Level::Notice };
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        self.log.line(
            level,
            format_args!(
                "{}/{name}: {before} → {after}{reason}; {sessions} on it; {left} of {} servers take sessions; {waiting}.",
                self.name,
                self.servers.len(),
            ),
        );
    }
}
