//! The transitions between the phases.

use std::time::Instant;

use super::{Phase, StateMachine};
use crate::activation::{Action, LeaseRefusal, Port};
use crate::time::saturating_add;

impl StateMachine {
    /// The time at which the operation in progress (start, stop, freeze or thaw) is given up.
    pub(super) fn operation_timeout(&self) -> Option<Instant> {
        let span = match self.phase {
            Phase::Starting => self.policy.start_timeout,
            Phase::Freezing | Phase::Thawing | Phase::Stopping { .. } => self.policy.stop_timeout,
            Phase::Stopped | Phase::Up | Phase::Frozen | Phase::Failed { .. } => return None,
        };
        Some(saturating_add(self.since, span))
    }

    /// Starts or thaws the workload if it sleeps.
    pub(super) fn ensure_awake(&mut self, now: Instant, out: &mut Vec<Action>) {
        match self.phase {
            Phase::Failed { until } if now < until => {}
            Phase::Stopped | Phase::Failed { .. } => {
                self.foreign = false;
                self.enter(now, Phase::Starting);
                out.push(Action::Start);
            }
            Phase::Frozen => {
                self.enter(now, Phase::Thawing);
                out.push(Action::Thaw);
            }
            // The workload is starting or up, or is woken after the operation in progress.
            Phase::Starting | Phase::Up | Phase::Freezing | Phase::Thawing | Phase::Stopping { .. } => {}
        }
    }

    pub(super) fn is_needed(&self) -> bool {
        !self.held.is_empty() || self.in_use > 0 || self.keep_warm
    }

    /// Whether a workload that sleeps is to be woken. A held client that may not wake it is no reason.
    pub(super) fn is_to_wake(&self) -> bool {
        self.held.has_waker() || self.keep_warm
    }

    pub(super) fn became_ready(&mut self, now: Instant, port: Port, out: &mut Vec<Action>) {
        self.set_ready(port);
        self.up_since = now;
        self.short_runs.begin_run();
        self.unused_since = now;
        self.enter_up(now, out);
    }

    pub(super) fn enter_up(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.enter(now, Phase::Up);
        self.unused_since = self.unused_since.max(now);
        self.grant_ready(out);
    }

    pub(super) fn enter_failed(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.refuse_all(LeaseRefusal::StartFailed, out);
        let until = saturating_add(now, self.backoff.next_delay());
        self.enter(now, Phase::Failed { until });
    }

    pub(super) fn exited(&mut self, now: Instant, failed: bool, out: &mut Vec<Action>) {
        let lasted = now.duration_since(self.up_since);
        if lasted >= self.policy.minimum_uptime {
            self.backoff.reset();
        }
        let is_short = lasted < self.policy.stable_after;
        let pause = self.short_runs.end_run(is_short);
        // The workload did answer, so the next client may start it at once. An automatic restart after an early crash
        // takes the backoff, because it could repeat forever. So could starts for clients that are not served.
        if failed && self.is_to_wake() && is_short {
            self.enter_failed(now, out);
        } else if let Some(pause) = pause {
            if !self.is_to_wake() {
                self.refuse_all(LeaseRefusal::WakeNotAllowed, out);
            }
            self.enter(now, Phase::Failed { until: saturating_add(now, pause) });
            self.short_runs.set_paused(true);
        } else {
            self.enter_stopped(now, out);
        }
    }

    pub(super) fn enter_stopped(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.enter(now, Phase::Stopped);
        if self.is_to_wake() {
            self.ensure_awake(now, out);
        } else {
            self.refuse_all(LeaseRefusal::WakeNotAllowed, out);
        }
    }

    pub(super) fn end_use(&mut self, now: Instant) {
        self.in_use = self.in_use.saturating_sub(1);
        if self.in_use == 0 {
            self.unused_since = now;
        }
    }

    pub(super) fn enter(&mut self, now: Instant, phase: Phase) {
        if matches!(phase, Phase::Stopped | Phase::Failed { .. }) {
            self.evictions.clear_on_stop();
            self.clear_ready();
        }
        self.short_runs.set_paused(false);
        self.phase = phase;
        self.since = now;
    }
}
