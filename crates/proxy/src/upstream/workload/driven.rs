//! What the driver of a workload does with it: it reports what has happened, and takes the requests to the activator.

use std::time::Instant;

use dormouse_activate::Request;
use dormouse_core::activation::{Event, Eviction, Policy, Port, State};
use dormouse_relay::Stream;

use super::Workload;
use super::state::{Cause, WorkloadState};
use crate::stats::wake::WokenBy;

impl Workload {
    /// Sets whether the time of day keeps the workload warm.
    pub(in crate::upstream) fn set_keep_warm(&self, keep_warm: bool) {
        let cause = Cause::by(WokenBy::KeepWarm);
        self.step(cause, |state, now, out| state.machine.set_keep_warm(now, keep_warm, out));
    }

    /// Sets whether this reason makes the workload stop as soon as it is not in use.
    pub(in crate::upstream) fn set_eviction(&self, reason: Eviction, active: bool) {
        self.step(Cause::unknown(), |WorkloadState { machine, .. }, now, out| {
            if active { machine.evict(now, reason, out) } else { machine.cancel_eviction(reason) }
        });
    }

    /// Replaces the policy.
    pub(in crate::upstream) fn set_policy(&self, policy: Policy) {
        self.step(Cause::unknown(), |state, now, out| state.machine.set_policy(now, policy, out));
    }

    /// Allows the next start at once, because the reason for failed starts may be gone.
    pub(in crate::upstream) fn reset_backoff(&self) {
        self.step(Cause::unknown(), |state, now, out| state.machine.reset_backoff(now, out));
    }

    /// Records that dormouse started the running workload.
    pub(in crate::upstream) fn mark_owned(&self) {
        self.step(Cause::unknown(), |state, now, out| state.machine.mark_owned(now, out));
    }

    /// Records that another program started the running workload.
    pub(in crate::upstream) fn mark_foreign(&self) {
        self.step(Cause::unknown(), |state, _, _| state.machine.mark_foreign());
    }

    /// Returns whether processes of the workload that dormouse has started may exist.
    pub(in crate::upstream) fn is_owned(&self) -> bool {
        self.lock().owned
    }

    /// Records that the workload was stopped for the last time. Nothing is reported, because it is removed.
    pub(in crate::upstream) fn record_last_stop(&self) {
        let owned = std::mem::replace(&mut self.lock().owned, false);
        if owned {
            self.owned_changed.notify_one();
        }
    }

    /// Returns whether the workload runs, and another program has started it.
    pub(in crate::upstream) fn is_foreign(&self) -> bool {
        let state = self.lock();
        state.is_running() && state.machine.is_foreign()
    }

    /// Returns whether the workload does not run, and is not about to.
    pub(in crate::upstream) fn is_stopped(&self) -> bool {
        !self.lock().is_running()
    }

    /// Returns whether the workload was started, and no port is ready yet.
    pub(in crate::upstream) fn is_starting(&self) -> bool {
        self.lock().machine.state() == State::Starting
    }

    /// Records what stands in the way of the start in progress. The reason of a start that fails contains it.
    pub(in crate::upstream) fn set_start_problem(&self, problem: &str) {
        self.lock().start_problem = Some(problem.into());
    }

    /// Records what the activator has reported. `reason`: why the workload failed.
    pub(in crate::upstream) fn record_event(&self, event: Event, reason: Option<String>) {
        let ended = matches!(event, Event::Stopped | Event::Exited { .. } | Event::StartFailed);
        let run = self.step(Cause::unknown(), |state, now, out| {
            if let Some(reason) = reason {
                state.reason = Some(reason.into());
            }
            state.run = state.run.wrapping_add(u32::from(ended));
            state.has_ended |= ended;
            state.machine.event(now, event, out);
            state.run
        });
        if ended {
            self.run.send_replace(run);
        }
    }

    /// Records that a port is ready. `conn`: the connection that showed it, for its first client.
    pub(in crate::upstream) fn mark_ready(&self, port: Port, conn: Option<Stream>) {
        self.step(Cause::unknown(), |state, now, out| {
            state.ready_conn = conn.map(|conn| (port, conn));
            state.machine.event(now, Event::Ready(port), out);
        });
        // No client may have been left to take the connection.
        self.lock().ready_conn = None;
    }

    /// Lets the machine do what is due. Returns when something is due next.
    pub(in crate::upstream) fn tick(&self) -> Option<Instant> {
        self.step(Cause::unknown(), |state, now, out| state.machine.tick(now, out));
        let mut state = self.lock();
        state.armed = state.machine.deadline();
        state.armed
    }

    /// Returns the next request to the activator.
    pub(in crate::upstream) fn next_request(&self) -> Option<Request> {
        self.lock().requests.pop_front()
    }
}
