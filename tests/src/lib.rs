//! What the tests of the whole program stand on: starting a subject the way a service manager does, sockets of
//! every kind with deadlines, notifications, processor time, temporary directories.
//!
//! Nothing here waits without a deadline, and nothing sleeps to let "things settle": a wait names the condition
//! it is for, and its failure says what was being waited for.

#![forbid(unsafe_code)]

pub mod ask;
pub mod cpu;
pub mod dns;
pub mod failure;
pub mod machine;
pub mod messages;
pub mod net;
pub mod network;
pub mod nginx;
pub mod notify;
pub mod process;
pub mod rig;
pub mod rng;
pub mod subject;
pub mod temp;
pub mod wait;

pub use ask::ask;
pub use failure::{Failure, Result};
pub use net::{Address, Ending, Family, Listener, Stream};
pub use process::{Launch, ListenPid, Running};
pub use subject::Subject;

/// Returns how often a test repeats something, or with how much: `quick` in the loop of a contributor, `full` with the
/// feature `system`.
pub const fn scaled(quick: usize, full: usize) -> usize {
    if cfg!(feature = "system") { full } else { quick }
}
