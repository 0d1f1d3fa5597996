//! Addresses as they are written on command lines: what to connect to ([`Target`]) and what to listen on
//! ([`ListenAddress`]).
//!
//! Both are read without asking anybody: literals become addresses here, names stay names for a resolver. What can
//! never work is refused here too, with an error that says why.

mod error;
mod host;
mod listen;
mod port;
mod target;
mod unix;
mod vsock;

pub use error::{AddressError, IpProblem};
pub use host::{Host, HostName};
pub use listen::ListenAddress;
pub use port::{Port, ServiceName};
pub use target::Target;
pub use unix::{AbstractName, UnixPath};
