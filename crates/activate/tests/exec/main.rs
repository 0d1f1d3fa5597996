//! The activator `exec` with real programs that are started, stopped, frozen and killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as its body does"
)]

mod daemon;
mod freeze;
mod inherited;
mod killed;
mod lifecycle;
mod notify;
mod output;
mod rig;
mod stop;
