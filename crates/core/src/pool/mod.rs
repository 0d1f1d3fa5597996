//! Load balancing: the health of the servers of a service, the choice among them, and the queue.
//!
//! ```text
//!  request ──▶ server with capacity?  ──▶ granted ──▶ release ──▶ first in the queue
//!                │ none                                 ▲
//!                ▼                                      │ a server comes up, or gets more capacity
//!              queued ──────────────────────────────────┘
//! ```
//!
//! After each step, no session waits that a server could take, and no server has more sessions than its limit.

mod balance;
mod balancer;
mod check_settings;
mod downtime;
mod health;
mod member;
mod queue;
mod servers;
mod status;
mod streak;

pub use balance::{Balance, Candidate, Pick, PickContext, hash};
pub use balancer::Balancer;
pub use check_settings::{CheckSettings, InitialState, Observe, OnError};
pub use health::Health;
pub use member::{Member, SlotState};
pub use queue::{Queue, WaiterId};
pub use servers::{Assignment, Grant, Pool, PoolSettings};
pub use status::{AdminState, CheckCounter, CheckResult, HealthChange, Status};
