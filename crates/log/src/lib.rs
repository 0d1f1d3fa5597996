//! Log lines: on standard error, with priorities where it is the journal (sd-daemon(3)), or as journal entries with
//! fields.
//!
//! The path of a line: [`Log`] (level, format, rate limit of recurring lines) → queue (bounded, a thread that writes) →
//! sink (standard error or the journal).

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod journal;
mod level;
mod logger;
mod queue;
mod recurring;
mod sink;
mod text;

pub use journal::field;
pub use level::{Format, Level};
pub use logger::{Log, write_stderr_at};
pub use recurring::Recurring;
pub use sink::write_stderr;
pub use text::{Utc, json_string};
