//! How a connection ends on the wire.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;

/// How to end a connection over which nothing more is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseMode {
    /// Both ends of stream have been exchanged.
    Orderly,
    /// The peer sees a reset.
    Reset,
}

/// Makes the next close of this socket a reset (`SO_LINGER` of zero, socket(7)). Families without resets ignore it.
pub fn reset_on_close(socket: impl AsFd) {
    // If the option is refused, the socket closes as usual. No better way is left.
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}
