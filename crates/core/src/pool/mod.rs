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
mod checks;
mod health;
mod machine;
mod member;
mod queue;

pub use balance::{Balance, Balancer, Candidate, Draw, Pick, hash};
pub use checks::{Checks, Init, Observe, OnError};
pub use health::{Admin, Change, Finding, Health, Status, Streak};
pub use machine::{Arrival, Grant, Pool, Rules};
pub use member::{Member, Presence};
pub use queue::{Queue, Ticket};
