//! The data path of dormouse, in the order of its folders:
//!
//! [`listener`] → [`server`] (accepts) → [`admission`] (limits) → [`proxy_protocol`] (the client's address) → [`session`] →
//! [`upstream`] (hold, lease, choose a server) → `dormouse_connect` → the relay (a crate of its own) → [`stats`].

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod admission;
pub mod busy_poll;
pub mod client;
pub mod listener;
pub mod proxy_protocol;
pub mod refusal;
pub mod server;
pub mod session;
pub mod stats;
pub mod upstream;
