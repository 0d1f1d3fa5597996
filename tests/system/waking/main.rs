//! Workloads that dormouse wakes: real units, real containers, and programs that must be installed or need root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as its body does"
)]

mod container;
mod exec;
mod first_process;
mod notifications;
mod sandbox;
#[path = "../../local/waking/exec/scene.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod scene;
mod shared;
mod stranger;
mod unit;
