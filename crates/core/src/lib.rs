//! Decisions and parsers of dormouse.
//!
//! Nothing in this crate does I/O, reads a clock or draws random numbers: bytes, text and (where time matters)
//! durations go in, values come out. Whatever is decided here can therefore be tested without a socket.
#![forbid(unsafe_code)]

pub mod activation;
pub mod address;
pub mod backoff;
pub mod control;
pub mod dns;
pub mod getopt;
pub mod network;
pub mod number;
pub mod pool;
pub mod proxy_protocol;
pub mod schedule;
mod time;
pub mod timespan;
