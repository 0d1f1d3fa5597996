//! `dormouse run` as a lasting bridge, from outside: several servers that die, vanish and come back under load.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

mod fallen;
mod load;
mod named;
mod queued;
mod recreated;
mod seed;
