//! Several servers behind one service: their health, the choice among them, and the queue for a place.
//!
//! ```text
//!  arrive ──▶ open servers with room? ──▶ granted ──▶ release ──▶ the first in the queue
//!                │ none                                 ▲
//!                ▼                                      │ a server comes back, gets more room
//!              queued ──────────────────────────────────┘
//! ```
//!
//! After each step nobody waits whom a server could take, and no server has more sessions than it may.

mod balance;
mod check_settings;
mod health;
mod member;
mod queue;
mod servers;

pub use balance::{Balance, Balancer, Candidate, Pick, PickContext, hash};
pub use check_settings::{CheckSettings, InitialState, Observe, OnError};
pub use health::{AdminState, CheckCounter, CheckResult, Health, HealthChange, Status};
pub use member::{Member, SlotState};
pub use queue::{Queue, WaiterId};
pub use servers::{Assignment, Grant, Pool, PoolSettings};
