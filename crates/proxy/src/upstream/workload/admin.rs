//! What administrators do with a workload.

use dormouse_core::activation::{AdminError, Port};

use super::Workload;
use super::state::Cause;
use crate::stats::wake::WokenBy;

impl Workload {
    /// Wakes the workload without a client. It is stopped again by the usual rules.
    pub(in crate::upstream) fn wake(&self, port: Port, by: WokenBy) {
        self.step(Cause::of(port, by), |state, now, out| state.machine.wake(now, out));
    }

    /// Stops the workload for an administrator.
    pub(in crate::upstream) fn stop_by_admin(&self) -> Result<(), AdminError> {
        self.step(Cause::unknown(), |state, now, out| state.machine.stop_by_admin(now, out))
    }

    /// Freezes the workload for an administrator.
    pub(in crate::upstream) fn freeze(&self) -> Result<(), AdminError> {
        self.step(Cause::unknown(), |state, now, out| state.machine.freeze(now, out))
    }

    /// Thaws the workload for an administrator.
    pub(in crate::upstream) fn thaw(&self, port: Port) -> Result<(), AdminError> {
        self.step(Cause::of(port, WokenBy::Administrator), |state, now, out| state.machine.thaw(now, out))
    }

    /// An administrator drains a member, or wants it to take sessions again.
    pub(in crate::upstream) fn drain(&self, port: Port, drained: bool) {
        self.step(Cause::unknown(), |state, now, out| state.machine.drain_port(now, port, drained, out));
    }
}
