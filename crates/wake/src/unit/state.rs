//! What a unit's states mean.

/// Where a unit stands, in the manager's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub(super) load: String,
    /// `active`, `activating`, `failed`, …
    pub(super) active: String,
    /// `running`, `auto-restart`, …
    pub(super) sub: String,
    /// What is being done with it: `start`, `stop`, `restart`, …
    pub(super) job: Option<String>,
}

/// The same, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It does not run; it did nothing wrong.
    Down,
    /// It does not run; something went wrong.
    Failed,
    /// It starts.
    Rising,
    /// It ended, and its manager starts it again in a moment.
    Restarting,
    /// It runs.
    Up,
    /// It stops.
    Falling,
}

impl Seen {
    pub(super) fn phase(&self) -> Phase {
        // Newer managers pass through states of their own between the end and the restart.
        if self.sub.contains("auto-restart") {
            return Phase::Restarting;
        }
        match self.active.as_str() {
            "active" | "reloading" | "refreshing" => Phase::Up,
            "activating" => Phase::Rising,
            "deactivating" => Phase::Falling,
            "failed" => Phase::Failed,
            _ => Phase::Down,
        }
    }

    /// Somebody has asked for its stop.
    pub(super) fn is_to_stop(&self) -> bool {
        self.job.as_deref() == Some("stop")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(active: &str, sub: &str) -> Seen {
        Seen { load: "loaded".to_owned(), active: active.to_owned(), sub: sub.to_owned(), job: None }
    }

    #[test]
    fn a_restart_that_the_manager_makes_is_no_failure() {
        for (active, sub) in [
            ("activating", "auto-restart"),
            ("activating", "auto-restart-queued"),
            ("failed", "failed-before-auto-restart"),
            ("inactive", "dead-before-auto-restart"),
        ] {
            assert_eq!(seen(active, sub).phase(), Phase::Restarting, "{active} ({sub})");
        }
    }

    #[test]
    fn states_of_every_kind_of_unit() {
        for (active, sub, phase) in [
            ("active", "running", Phase::Up),
            ("active", "exited", Phase::Up),
            ("active", "listening", Phase::Up),
            ("reloading", "reload", Phase::Up),
            ("activating", "start-pre", Phase::Rising),
            ("deactivating", "stop-sigterm", Phase::Falling),
            ("inactive", "dead", Phase::Down),
            ("maintenance", "dead", Phase::Down),
            ("failed", "failed", Phase::Failed),
        ] {
            assert_eq!(seen(active, sub).phase(), phase, "{active} ({sub})");
        }
    }
}
