//! Where clients arrive: sockets passed in by the service manager, or opened by us.

mod accept;
mod open;
mod passed;

use std::fmt;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, sockopt};

pub use accept::accept_all;
pub use open::{OpenError, open};
pub use passed::{Passed, PassedError, sort};

use crate::connect::options;

/// A listening stream socket.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    name: String,
    family: AddressFamily,
    /// Removes the socket's file when we stop listening.
    file: Option<open::SocketFile>,
}

impl Listener {
    fn new(socket: OwnedFd, name: String) -> Self {
        let family = sockopt::socket_domain(&socket).unwrap_or(AddressFamily::UNSPEC);
        // Accepted sockets inherit the options; without them it is only less well.
        let _ = options::prepare(&socket, family);
        Self { socket, name, family, file: None }
    }

    /// The listening socket.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
