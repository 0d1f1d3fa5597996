//! What dormouse asks of the system that no safe library offers.
//!
//! This is the only crate that may hold `unsafe` code; every block says why it is sound and has a test.
//! Everything here is a thin, typed door: what is decided with it is decided elsewhere.

pub mod code;
pub mod credentials;
pub mod limits;
pub mod listen_fds;
pub mod listen_options;
pub mod local_time;
pub mod notify;
pub mod resolve;
pub mod send_queue;
pub mod users;
pub mod vsock;
pub mod watch;
