//! The state of a unit.

/// The state of a unit, in systemd's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnitState {
    /// `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub(super) load: String,
    /// `active`, `activating`, `failed`, …
    pub(super) active: String,
    /// `running`, `auto-restart`, …
    pub(super) sub: String,
    /// The type of the queued or running job: `start`, `stop`, `restart`, …
    pub(super) job: Option<String>,
}

/// The phase that a unit is in, as far as dormouse distinguishes phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It does not run.
    Inactive,
    /// It does not run, because it failed.
    Failed,
    /// It starts.
    Activating,
    /// It ended, and its manager will restart it (`Restart=`).
    Restarting,
    /// It runs.
    Active,
    /// It stops.
    Deactivating,
}

impl UnitState {
    pub(super) fn phase(&self) -> Phase {
        // Newer versions of systemd have several states between the end and the restart.
        if self.sub.contains("auto-restart") {
            return Phase::Restarting;
        }
        match self.active.as_str() {
            "active" | "reloading" | "refreshing" => Phase::Active,
            "activating" => Phase::Activating,
            "deactivating" => Phase::Deactivating,
            "failed" => Phase::Failed,
            _ => Phase::Inactive,
        }
    }

    /// Returns whether a stop job exists.
    pub(super) fn has_stop_job(&self) -> bool {
        self.job.as_deref() == Some("stop")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit_state(active: &str, sub: &str) -> UnitState {
        UnitState { load: "loaded".to_owned(), active: active.to_owned(), sub: sub.to_owned(), job: None }
    }

    #[test]
    fn a_restart_by_the_manager_is_no_failure() {
        for (active, sub) in [
            ("activating", "auto-restart"),
            ("activating", "auto-restart-queued"),
            ("failed", "failed-before-auto-restart"),
            ("inactive", "dead-before-auto-restart"),
        ] {
            assert_eq!(unit_state(active, sub).phase(), Phase::Restarting, "{active} ({sub})");
        }
    }

    #[test]
    fn states_of_all_unit_types_have_a_phase() {
        for (active, sub, phase) in [
            ("active", "running", Phase::Active),
            ("active", "exited", Phase::Active),
            ("active", "listening", Phase::Active),
            ("reloading", "reload", Phase::Active),
            ("activating", "start-pre", Phase::Activating),
            ("deactivating", "stop-sigterm", Phase::Deactivating),
            ("inactive", "dead", Phase::Inactive),
            ("maintenance", "dead", Phase::Inactive),
            ("failed", "failed", Phase::Failed),
        ] {
            assert_eq!(unit_state(active, sub).phase(), phase, "{active} ({sub})");
        }
    }
}
