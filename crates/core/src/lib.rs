//! Decisions and parsers of dormouse.
//!
//! Nothing in this crate does I/O, reads a clock or draws random numbers: bytes, text and (where time matters)
//! durations go in, values come out. Whatever is decided here can therefore be tested without a socket.
#![forbid(unsafe_code)]

pub mod address;
pub mod backoff;
pub mod control;
pub mod getopt;
mod later;
pub mod names;
pub mod network;
pub mod number;
pub mod pool;
pub mod proxy_protocol;
pub mod service;
pub mod timespan;
pub mod warm;
