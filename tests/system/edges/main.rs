//! Listeners and PROXY headers with a real `HAProxy` and nginx as peers, as root and in network namespaces.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its body does"
)]

mod accept_proxy;
mod listeners;
mod peer_credentials;
mod peers;
mod proxy_header;
#[path = "../../local/edges/scene.rs"]
#[allow(dead_code, reason = "the local suite uses the rest")]
mod scene;
mod self_connect;
