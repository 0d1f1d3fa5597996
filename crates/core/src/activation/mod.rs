//! The activation of a workload as a state machine: events and the time go in, actions come out.
//!
//! ```text
//!         request_lease             ready
//!  stopped ─────────▶ starting ───────────────▶ up (ready while leased, else idle)
//!     ▲                  │ fails                 │ idle long enough        ▲
//!     │                  ▼                       ▼                         │ thawed
//!     │               failed (backoff)   freezing ▶ frozen ─ lease ─▶ thawing
//!     │                                          │ idle longer
//!     └───────────────── stopping ◀──────────────┘
//! ```
//!
//! The caller carries out the actions, reports their results as events, and calls [`StateMachine::tick`] at
//! [`StateMachine::deadline`]. A simulation in the tests of this crate checks the invariants after every step.

mod hold_queue;
mod policy;
mod short_runs;
mod state_machine;

use std::fmt;
use std::time::Duration;

pub use hold_queue::WaiterId;
pub use policy::{Policy, longer_idle_time};
pub use short_runs::Pause;
pub use state_machine::{AdminError, Eviction, Evictions, Snapshot, StateMachine};

/// One port of a workload: an address at which it answers, with the clients of one server of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(u32);

/// A client's request for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The port that the client wants.
    pub port: Port,
    /// Whether the client may wake the workload.
    pub may_wake: bool,
    /// The longest time that the client is held.
    pub hold_timeout: Duration,
    /// The largest number of held clients of the port.
    pub hold_max: usize,
}

/// The state of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The workload does not run.
    Stopped,
    /// The workload was started and does not answer yet.
    Starting,
    /// The workload answers, and is in use.
    Ready,
    /// The workload answers, and is not in use.
    Idle,
    /// The workload is being frozen.
    Freezing,
    /// The workload is frozen.
    Frozen,
    /// The workload is being thawed.
    Thawing,
    /// The workload is being stopped.
    Stopping,
    /// The start failed, or several runs ended at once, and the next start waits.
    Failed,
}

impl State {
    /// All states, in the order of a life cycle.
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

/// Something that happened to the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The workload answers at this port: the start succeeded, or another program started it.
    Ready(Port),
    /// The start failed.
    StartFailed,
    /// The workload ended without a stop by this machine.
    Exited {
        /// Whether it crashed or reported an error.
        failed: bool,
    },
    /// The requested stop is complete.
    Stopped,
    /// The requested freeze is complete.
    Frozen,
    /// The requested freeze failed.
    FreezeFailed,
    /// The requested thaw is complete.
    Thawed,
}

/// Something that the caller has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start the workload and probe whether its ports answer. The caller reports [`Event::Ready`] or [`Event::StartFailed`].
    Start,
    /// Stop the workload, even if it is frozen, and cancel a start in progress. The caller reports [`Event::Stopped`].
    Stop,
    /// Freeze the workload. The caller reports [`Event::Frozen`] or [`Event::FreezeFailed`].
    Freeze,
    /// Thaw the workload. The caller reports [`Event::Thawed`].
    Thaw,
    /// Give this waiter a lease.
    Grant(WaiterId),
    /// Give this waiter no lease.
    Refuse(WaiterId, LeaseRefusal),
}

/// Why a client gets no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaseRefusal {
    /// The number of held clients is at its limit.
    QueueFull,
    /// The workload was not ready within the hold timeout.
    HoldTimeout,
    /// The start failed.
    StartFailed,
    /// A start failed recently, and the backoff is not over.
    Backoff,
    /// The workload sleeps, and this client may not wake it.
    WakeNotAllowed,
}

impl fmt::Display for LeaseRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull => "the hold queue is full",
            Self::HoldTimeout => {
                "the service was not ready within hold.timeout (its start may take up to start_timeout)"
            }
            Self::StartFailed => "the service could not be started",
            Self::Backoff => "a start failed recently; the next attempt waits for the backoff",
            Self::WakeNotAllowed => "the service sleeps, and this client may not wake it",
        })
    }
}

/// The answer to a request for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a lease must be released, a waiter must be answered"]
pub enum LeaseResponse {
    /// The client has a lease.
    Granted,
    /// The client is held; [`Action::Grant`] or [`Action::Refuse`] follows.
    Held(WaiterId),
    /// The client gets no lease.
    Refused(LeaseRefusal),
}
