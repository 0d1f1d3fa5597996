//! Consecutive check results: `HAProxy`'s arithmetic of `rise` and `fall`.

use std::time::Duration;

use super::check_settings::{CheckSettings, InitialState};
use super::status::CheckCounter;

/// The consecutive results that count towards a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Streak {
    /// Up, with this number of consecutive failures.
    Up(u32),
    /// Down, with this number of consecutive successes.
    Down(u32),
}

impl Streak {
    /// Returns the streak of a server that was never checked.
    pub(super) fn initial(checks: Option<&CheckSettings>) -> Self {
        let Some(checks) = checks else { return Self::Up(0) };
        match checks.initial_state {
            InitialState::Up => Self::Up(checks.fall.get() - 1),
            InitialState::FullyUp => Self::Up(0),
            InitialState::Down => Self::Down(checks.rise.get() - 1),
            InitialState::FullyDown => Self::Down(0),
        }
    }

    /// Returns the streak after a success. `None`: the server comes up.
    pub(super) fn passed(self, rise: u32) -> Option<Self> {
        match self {
            Self::Down(successes) if successes.saturating_add(1) < rise => Some(Self::Down(successes + 1)),
            Self::Down(_) => None,
            Self::Up(_) => Some(Self::Up(0)),
        }
    }

    /// Returns the streak after a failure. `None`: the server goes down.
    pub(super) fn failed(self, fall: u32) -> Option<Self> {
        match self {
            Self::Up(failures) if failures.saturating_add(1) < fall => Some(Self::Up(failures + 1)),
            Self::Up(_) => None,
            Self::Down(_) => Some(Self::Down(0)),
        }
    }

    /// Returns the counter that `HAProxy` shows.
    pub(super) fn counter(self, rise: u32, fall: u32) -> CheckCounter {
        let health = match self {
            Self::Up(failures) => rise.saturating_add(fall - 1).saturating_sub(failures),
            Self::Down(successes) => successes,
        };
        CheckCounter { rise, fall, health }
    }

    /// Returns the time until the next check.
    pub(super) fn interval(self, checks: &CheckSettings) -> Duration {
        match self {
            Self::Up(0) => checks.inter,
            Self::Down(0) => checks.downinter,
            Self::Up(_) | Self::Down(_) => checks.fastinter,
        }
    }
}
