//! Real programs behind the waker `exec`: started, stopped, frozen, killed, forked away, left alone.

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
