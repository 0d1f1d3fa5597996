//! Units behind a socket: a real nginx under a real user manager and a real system manager.
//!
//! Each test has a machine of its own.

mod failures;
mod managers;
mod others;
mod rounds;
mod sleep;
mod stage;
