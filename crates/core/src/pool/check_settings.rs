//! The rules of checks, and `HAProxy`'s defaults for them.

use std::num::NonZeroU32;
use std::time::Duration;

/// The rules of a server's checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSettings {
    /// Between two checks.
    pub inter: Duration,
    /// Between two checks while the state is about to change.
    pub fastinter: Duration,
    /// Between two checks while the server is down.
    pub downinter: Duration,
    /// Successes in a row that bring it back.
    pub rise: NonZeroU32,
    /// Failures in a row that take it down.
    pub fall: NonZeroU32,
    /// Its state before the first check, and after maintenance.
    pub initial_state: InitialState,
    /// Sessions that get through prove its health, and no check is made meanwhile.
    pub passive: bool,
    /// What sessions that do not get through mean. `None`: nothing.
    pub observe: Option<Observe>,
    /// For so long after it came back its weight grows. Zero: not at all.
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

/// What sessions that do not get through mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observe {
    /// So many in a row are one error.
    pub error_limit: NonZeroU32,
    /// What an error does.
    pub on_error: OnError,
}

/// What an error that traffic met does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The next check comes after `fastinter`.
    FastInter,
    /// It counts as a failed check, too.
    FailCheck,
    /// The next failed check takes the server down, too.
    SuddenDeath,
    /// The server is down.
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
