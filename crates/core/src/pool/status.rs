//! The status of a server, the results of its checks, and their counter.

use std::fmt;

/// The state that an administrator gives a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AdminState {
    /// The server gets sessions when it is up.
    #[default]
    Ready,
    /// The server gets no new sessions, and keeps its current ones.
    Drain,
    /// The server gets no new sessions, and is not checked.
    Maint,
}

/// The status of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// The server passes its checks.
    Up,
    /// The server fails its checks.
    Down,
    /// The server has no checks, and counts as up.
    NoCheck,
    /// See [`AdminState::Drain`].
    Drain,
    /// See [`AdminState::Maint`].
    Maint,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// The server answered.
    Passed,
    /// The server did not answer.
    Failed,
    /// The check could not be made, or the server was too busy for it.
    Inconclusive,
}

/// A change of the health of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthChange {
    /// The server came up.
    Up,
    /// The server went down.
    Down,
}

/// The counter of consecutive check results, in `HAProxy`'s terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckCounter {
    /// The number of consecutive successes that bring the server up.
    pub rise: u32,
    /// The number of consecutive failures that take the server down.
    pub fall: u32,
    /// While the server is down: the number of consecutive successes. While it is up: `rise + fall - 1`, minus the
    /// number of consecutive failures.
    pub health: u32,
}

impl CheckCounter {
    /// The number of further failures that take down a server that is up. `None` if its last check passed.
    pub fn failures_left(&self) -> Option<u32> {
        let left = (self.health.saturating_add(1)).saturating_sub(self.rise);
        (left < self.fall).then_some(left)
    }
}

impl fmt::Display for Status {
    /// Prints the status as `HAProxy` does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "UP",
            Self::Down => "DOWN",
            Self::NoCheck => "no check",
            Self::Drain => "DRAIN",
            Self::Maint => "MAINT",
        })
    }
}
