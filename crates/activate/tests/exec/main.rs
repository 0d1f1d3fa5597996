//! The activator `exec` with real programs that are started, stopped, frozen and killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as its body does"
)]

mod freeze;
mod killed;
mod lifecycle;
mod limits;
mod rig;
mod stop;
