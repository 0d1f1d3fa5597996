//! Log lines: on standard error, with priorities where it is the journal (sd-daemon(3)), or as journal entries with
//! fields.
//!
//! The path of a line: [`Log`] (level, format, rate limit of recurring lines, escapes) → queue (bounded, a thread that
//! writes) → sink (standard error or the journal). Text of others (paths, names, the output of programs) is escaped in
//! [`Log`] and in the other functions that write, so that their callers need not think of it.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod escape;
mod journal;
mod level;
mod logger;
mod queue;
mod recurring;
mod sink;
mod utc;

pub use escape::{Bounded, Escaped, EscapedLine, EscapedLines, is_special, json_escaped, json_string};
pub use journal::field;
pub use level::{Format, Level};
pub use logger::{Log, write_stderr_lines};
pub use recurring::Recurring;
pub use utc::Utc;
