//! dormouse: puts network services to sleep and wakes them on the first connection.
//!
//! [`cli`] reads the command line. [`supervisor`] runs the services of `dormouse run`, [`proxy`] the one of
//! `dormouse proxy`, and [`demo`] a built-in one. [`admin`] serves the control socket and the web address. The
//! client side is in the crate `dormouse-client`, the data path in `dormouse-proxy`.

#![forbid(unsafe_code)]
// These macros panic if writing fails.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod admin;
pub mod cli;
pub mod demo;
pub mod proxy;
pub mod supervisor;
