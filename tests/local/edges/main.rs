//! The edges of a session, from outside: where clients arrive, who they say they are, how long they may stay.

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
mod proxy_header;
mod scene;
mod spares;
mod starting;
mod timeouts;
