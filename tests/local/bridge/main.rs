//! `dormouse run` as a bridge to several servers that die, disappear and come back under load.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

#[allow(dead_code, reason = "the system suite uses the rest")]
mod load;
mod recreated;
mod server_limit;
mod socket_files;
