//! Addresses in configurations and on command lines: what to connect to ([`Target`]) and what to listen on
//! ([`ListenAddress`]).
//!
//! The parsers do no I/O: literals become addresses, and names stay names for a resolver. An address that can never
//! work is an error that explains what to write instead.

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
