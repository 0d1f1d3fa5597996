//! Session statistics: one record for each session, the counters, the access log. Nothing else counts anything.

mod access_log;
pub mod cause;
pub mod count;
pub mod counters;
mod outcome;
mod record;
mod service;
pub mod sessions;
mod totals;
pub mod wake;

pub use counters::{Counters, ServerStats};
pub use outcome::{Outcome, TerminatedBy};
pub use record::Record;
pub use service::Stats;
pub use totals::{ServedGuard, Totals};
