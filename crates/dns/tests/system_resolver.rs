//! The resolver with a real DNS server, unbound.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]

mod cases;

use dormouse_tests::dns::Dns;

/// Starts a server without records, with more lines for its `server:` section.
fn start(options: &str) -> Dns {
    Dns::start(options).unwrap()
}
