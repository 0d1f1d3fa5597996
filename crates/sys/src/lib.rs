//! System calls and C library functions that no safe library offers, and threads for blocking work.
//!
//! This is the only crate that may hold `unsafe` code. Every unsafe block states why it is sound, and has a test. The
//! functions are thin and typed; the callers make the decisions.

pub mod blocking;
pub mod capabilities;
pub mod chmod;
pub mod closer;
pub mod code_pages;
pub mod connect_as;
mod control_message;
pub mod credentials;
pub mod datagram;
pub mod directory;
pub mod event_loop;
pub mod fd_limit;
pub mod identity;
pub mod inherited;
pub mod keyring;
pub mod listen_fds;
pub mod listen_options;
pub mod local_time;
mod lookup_deadline;
pub mod message;
pub mod namespaces;
pub mod notify;
pub mod pass_rights;
pub mod pidfd;
pub mod queued_fds;
pub mod regular_file;
pub mod resolve;
pub mod seccomp;
pub mod send_queue;
pub mod sock_diag;
pub mod socket_fd;
pub mod spawn;
#[cfg(test)]
mod test_lingering;
pub mod umask;
pub mod users;
pub mod vsock;
