//! The settings of health checks, with `HAProxy`'s defaults.

use std::num::NonZeroU32;
use std::time::Duration;

/// The settings of the health checks of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSettings {
    /// The time between two checks.
    pub inter: Duration,
    /// The time between two checks while the state is about to change.
    pub fastinter: Duration,
    /// The time between two checks while the server is down.
    pub downinter: Duration,
    /// The number of consecutive successes that bring the server up.
    pub rise: NonZeroU32,
    /// The number of consecutive failures that take the server down.
    pub fall: NonZeroU32,
    /// The state before the first check, and after maintenance.
    pub initial_state: InitialState,
    /// Whether a successful connection of a session replaces the next check.
    pub passive: bool,
    /// What failed connections of sessions do. `None`: nothing.
    pub observe: Option<Observe>,
    /// The time in which the weight grows after the server came up. Zero: the server has its full weight at once.
    pub slowstart: Duration,
}

/// The state before the first check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialState {
    /// Up, until one check fails.
    Up,
    /// Up, until `fall` checks fail.
    FullyUp,
    /// Down, until one check succeeds.
    Down,
    /// Down, until `rise` checks succeed.
    FullyDown,
}

/// What failed connections of sessions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observe {
    /// The number of consecutive failed connections that are one error.
    pub error_limit: NonZeroU32,
    /// The effect of an error.
    pub on_error: OnError,
}

/// The effect of an error that sessions found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The next check comes after `fastinter`.
    FastInter,
    /// As `FastInter`, and the error counts as a failed check.
    FailCheck,
    /// As `FastInter`, and the next failed check takes the server down.
    SuddenDeath,
    /// As `FastInter`, and the server goes down at once.
    MarkDown,
}

impl Default for CheckSettings {
    /// `HAProxy`'s defaults.
    fn default() -> Self {
        const RISE: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);
        const INTER: Duration = Duration::from_secs(2);
        Self {
            inter: INTER,
            fastinter: INTER,
            downinter: INTER,
            rise: RISE,
            fall: RISE.saturating_add(1),
            initial_state: InitialState::Up,
            passive: false,
            observe: None,
            slowstart: Duration::ZERO,
        }
    }
}
