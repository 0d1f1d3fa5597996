//! Units behind a socket: a real nginx under a real user manager and a real system manager.
//!
//! Each test has a machine of its own.

#[path = "../manager/nginx.rs"]
#[allow(dead_code, reason = "its unit and its targets are for others")]
mod nginx;

mod failures;
mod managers;
mod others;
mod rounds;
mod sleep;
mod stage;

/// What the shared parts look for here.
mod machine {
    pub(crate) use dormouse_tests::machine::{Machine, write};
}
