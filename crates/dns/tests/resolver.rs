//! The resolver with a small DNS server in this process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]

mod cases;
mod stub;

use stub::Dns;

/// Starts a server without records. The stub ignores the options of the real server: its datagrams are always small.
fn start(_options: &str) -> Dns {
    Dns::start()
}
