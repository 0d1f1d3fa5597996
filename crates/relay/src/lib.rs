//! A relay between two connected sockets: each side receives what the other sends, and sees how the other ends.
//!
//! Small pieces are copied through one buffer per thread. Bulk data is spliced through a pooled pipe. An idle session
//! holds two descriptors and no buffer. A half-closed stream keeps its other half, a reset arrives as a reset, and a
//! slow reader costs at most one buffer and no CPU time.

#![forbid(unsafe_code)]

mod close;
mod direction;
mod fd_passing;
mod limits;
mod message_credentials;
mod passed_fds;
mod peek;
mod pipe_lease;
mod pipes;
mod relay;
mod replay;
mod report;
pub mod socket_reuse;
mod stream;
mod timer;
mod transfer;

pub use close::reset_on_close;
pub use limits::Limits;
pub use message_credentials::MessageCredentials;
pub use passed_fds::set_passed_fds_limit;
pub use peek::PeekError;
pub use pipes::Pipes;
pub use relay::Relay;
pub use replay::{ExchangeEnd, Replay, ReplayBuffer};
pub use report::{AbortReason, End, Operation, Report, Side};
pub use stream::{Stream, StreamKind, kind_of, socket_fd};
