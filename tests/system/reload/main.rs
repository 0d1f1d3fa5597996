//! Restarts, crashes and reloads of dormouse by a real service manager while clients connect.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]

mod foreign_directory;
#[path = "../../local/reload/load.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod load;
mod restart;
#[path = "../../local/reload/scene.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod scene;
