//! What sleeps behind a socket and is woken: real units, real containers, programs that need root or are installed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail as its body does"
)]

mod container;
mod exec;
#[path = "../../local/waking/exec/scene.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod scene;
mod unit;
