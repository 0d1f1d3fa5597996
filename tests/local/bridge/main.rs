//! `dormouse run` as a lasting bridge, from outside: several servers that die, vanish and come back under load.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

#[allow(dead_code, reason = "the system suite uses the rest")]
mod load;
mod queued;
mod recreated;
mod vanishing;
