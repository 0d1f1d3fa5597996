//! dormouse: network services that sleep until somebody connects.
//!
//! A connection goes through these modules in this order: [`listener`] → [`admission`] → [`service`] → [`connect`] →
//! the relay (a crate of its own) → [`stats`]. [`session`] is the thread through them, [`proxy`] puts them together
//! for `dormouse proxy`, [`life`] is the process's own: signals, the service manager, the exit when idle.

#![forbid(unsafe_code)]
// They panic where nothing can be written.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod admin;
pub mod cli;
mod client;
pub mod demo;
pub mod proxy;
pub mod supervisor;
pub mod top;
