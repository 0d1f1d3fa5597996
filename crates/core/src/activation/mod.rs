//! A service that sleeps until somebody connects, as a state machine: events and the time go in, actions come out.
//!
//! ```text
//!            arrive                 answers
//!  stopped ─────────▶ starting ───────────────▶ up (ready while leased, else idle)
//!     ▲                  │ fails                 │ idle long enough        ▲
//!     │                  ▼                       ▼                         │ thawed
//!     │               failed (backoff)   freezing ▶ frozen ─ arrive ▶ thawing
//!     │                                          │ idle longer
//!     └───────────────── stopping ◀──────────────┘
//! ```
//!
//! Whoever drives it carries out the actions, reports what came of them as events, and calls [`StateMachine::tick`] at
//! [`StateMachine::deadline`]. What holds after every step is checked by the simulation in this crate's tests.

mod hold_queue;
mod policy;
mod state_machine;

use std::fmt;

pub use hold_queue::WaiterId;
pub use policy::Policy;
pub use state_machine::{AdminError, Eviction, Evictions, Snapshot, StateMachine};

/// Where a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing runs.
    Stopped,
    /// It was started and does not answer yet.
    Starting,
    /// It answers, and somebody uses it.
    Ready,
    /// It answers, and nobody uses it.
    Idle,
    /// It is being frozen.
    Freezing,
    /// It is frozen.
    Frozen,
    /// It is being thawed.
    Thawing,
    /// It is being stopped.
    Stopping,
    /// It could not be started, and is not tried again yet.
    Failed,
}

impl State {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 9] = [
        Self::Stopped,
        Self::Starting,
        Self::Ready,
        Self::Idle,
        Self::Freezing,
        Self::Frozen,
        Self::Thawing,
        Self::Stopping,
        Self::Failed,
    ];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Idle => "idle",
            Self::Freezing => "freezing",
            Self::Frozen => "frozen",
            Self::Thawing => "thawing",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        })
    }
}

/// What became known about what is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It answers: the start succeeded, or somebody else has started it.
    Ready,
    /// The start failed, for good.
    StartFailed,
    /// It ended by itself; `failed` if not in good order.
    Exited {
        /// It crashed, or told of an error.
        failed: bool,
    },
    /// The stop that was asked for is done.
    Stopped,
    /// The freezing that was asked for is done.
    Frozen,
    /// The freezing that was asked for cannot be done.
    FreezeFailed,
    /// The thawing that was asked for is done.
    Thawed,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start it, then see when it answers. To be answered by [`Event::Ready`] or [`Event::StartFailed`].
    Start,
    /// Stop it, frozen or not, and give up a start in flight. To be answered by [`Event::Stopped`].
    Stop,
    /// Freeze it. To be answered by [`Event::Frozen`] or [`Event::FreezeFailed`].
    Freeze,
    /// Thaw it. To be answered by [`Event::Thawed`].
    Thaw,
    /// This waiter gets a lease.
    Grant(WaiterId),
    /// This waiter gets none.
    Refuse(WaiterId, Refusal),
}

/// Why somebody gets no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// As many are held as may be.
    QueueFull,
    /// It was not there in time.
    HoldTimeout,
    /// It could not be started.
    StartFailed,
    /// It could not be started a moment ago, and is not tried again yet.
    Backoff,
    /// It sleeps, and this client may not wake it.
    WakeNotAllowed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull => "too many clients are held already",
            Self::HoldTimeout => "the service was not ready in time",
            Self::StartFailed => "the service could not be started",
            Self::Backoff => "the service could not be started a moment ago and is not tried again yet",
            Self::WakeNotAllowed => "the service sleeps, and this client may not wake it",
        })
    }
}

/// What a client gets when it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a lease has to be released, a waiter to be told"]
pub enum LeaseResponse {
    /// A lease, at once.
    Granted,
    /// A place among those that are held; [`Action::Grant`] or [`Action::Refuse`] follows.
    Held(WaiterId),
    /// Nothing.
    Refused(Refusal),
}
