//! `dormouse run` as a bridge, with real servers, a real DNS server, and `HAProxy` for comparison.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its body does")]

mod fallen;
#[path = "../../local/bridge/load.rs"]
mod load;
mod named;
mod seed;
#[path = "../../local/bridge/vanishing.rs"]
mod vanishing;
