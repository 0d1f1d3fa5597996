//! Decisions and parsers of dormouse.
//!
//! This crate does no I/O, and it does not read a clock or draw random numbers. Bytes, text and times go in, values
//! come out, so that every decision can be tested without a socket.
#![forbid(unsafe_code)]

pub mod activation;
pub mod address;
pub mod backoff;
pub mod control;
pub mod dns;
pub mod getopt;
pub mod name;
pub mod network;
pub mod number;
pub mod plural;
pub mod pool;
pub mod proxy_protocol;
pub mod schedule;
pub mod sock_diag;
mod time;
pub mod timespan;
