//! The shipped unit with its own user and without capabilities, under the real service managers and polkits of Debian 12
//! and Debian 13, and the additions that `dormouse check` prints.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as its body does"
)]

mod containers;
#[path = "../waking/container/debian13.rs"]
mod debian13;
mod drop_ins;
mod exposure;
#[path = "../waking/container/podman.rs"]
#[allow(dead_code, reason = "the tests of containers use the rest")]
mod podman;
mod stage;
mod units;
