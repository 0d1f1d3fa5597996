//! The activator `exec` with installed programs, and under limits that only root can set for an unused user.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]

#[allow(dead_code, reason = "the target `exec` uses the rest")]
mod rig;

mod account;
mod limits;
mod numbers;
mod redis;
mod sandbox;
mod systemd_notify;
