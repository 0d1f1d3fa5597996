//! dormouse: network services that sleep until somebody connects.
//!
//! A connection goes through these modules in this order: [`listener`] → [`admission`] → [`service`] → [`connect`] →
//! the relay (a crate of its own) → [`ledger`]. [`session`] is the thread through them, [`proxy`] puts them together
//! for `dormouse proxy`, [`life`] is the process's own: signals, the service manager, the exit when idle.

#![forbid(unsafe_code)]
// They panic where nothing can be written.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod admission;
pub mod announce;
pub mod aside;
pub mod cli;
pub mod config;
pub mod connect;
pub mod control;
pub mod convert;
pub mod demo;
pub mod ledger;
pub mod life;
pub mod listener;
pub mod names;
pub mod proxy;
pub mod run;
pub mod service;
pub mod session;
