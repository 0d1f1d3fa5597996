//! Support for the tests of the whole program: starting the program under test as a service manager does, sockets
//! of every family with deadlines, notifications, processor time, temporary directories.
//!
//! Every wait has a deadline and names its condition, and its failure reports that condition. Nothing sleeps for a
//! fixed time to let a state settle.

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

/// Returns the number of rounds of a test: that of `DORMOUSE_ROUNDS`, or else the usual one.
///
/// # Errors
/// `DORMOUSE_ROUNDS` is not a number.
pub fn rounds<N: std::str::FromStr>(usual: N) -> Result<N> {
    match std::env::var("DORMOUSE_ROUNDS") {
        Ok(text) => {
            text.parse().map_err(|_| Failure::Unexpected(format!("DORMOUSE_ROUNDS={text} is no number")))
        }
        Err(_) => Ok(usual),
    }
}

/// Returns the number of repetitions or the size of a test: `quick` by default, `full` with the feature `system`.
pub const fn scaled(quick: usize, full: usize) -> usize {
    if cfg!(feature = "system") { full } else { quick }
}
