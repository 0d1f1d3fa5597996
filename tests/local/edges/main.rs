//! Listeners, PROXY headers, connections to servers, and timeouts of sessions.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]

mod accept_proxy;
mod connecting;
mod descriptors;
mod listeners;
mod proxy_header;
mod scene;
mod socket_reuse;
mod timeouts;
