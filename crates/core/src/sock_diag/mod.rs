//! Messages of the kernel's socket diagnostics (`sock_diag(7)`): requests for TCP sockets, and the answers.
//!
//! The layouts are those of `linux/netlink.h`, `linux/sock_diag.h` and `linux/inet_diag.h`. Numbers are in the byte order
//! of the machine, ports and addresses in that of the network. Any answer results in sockets or in [`Malformed`].

mod answer;
mod request;

use std::net::{IpAddr, SocketAddr};

pub use answer::{Answer, Malformed, answers};
pub use request::{Family, REQUEST_LENGTH, listeners_request, socket_request};

/// A TCP socket of this machine, as the kernel describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InetSocket {
    /// The address that the socket is bound to.
    pub local: SocketAddr,
    /// The address of the peer; unspecified for a listener.
    pub remote: SocketAddr,
    /// The state of the connection.
    pub state: TcpState,
    /// The number of the socket's file; `None` for a connection that no process has accepted, or that no process has
    /// any more.
    pub inode: Option<u32>,
    /// The user who created the socket. Root if the socket has no file.
    pub uid: u32,
    /// The identity of the socket. The kernel does not use it again until the next boot.
    pub cookie: u64,
    /// Whether an IPv6 listener takes no IPv4 clients.
    pub v6only: bool,
    /// The number of the control group (cgroup2) of the process that created the socket. `None` before Linux 5.8.
    pub cgroup: Option<u64>,
}

/// The state of a TCP socket, as far as it matters who has the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpState {
    /// The handshake is complete or almost complete, and this side has not closed the connection.
    Open,
    /// A listener.
    Listen,
    /// This side has closed the connection, or the connection is over.
    Closing,
}

impl InetSocket {
    /// Returns whether a connection that is open waits in the queue of its listener: no process has accepted it yet.
    pub fn is_queued(&self) -> bool {
        self.state == TcpState::Open && self.inode.is_none()
    }

    /// Returns whether the socket is bound to this address, and to no other.
    fn is_bound_to(&self, address: IpAddr) -> bool {
        self.local.ip().to_canonical() == address.to_canonical()
    }

    /// Returns whether the socket is bound to all addresses of a family, among them this one.
    fn is_bound_to_all(&self, address: IpAddr) -> bool {
        match self.local.ip() {
            IpAddr::V4(bound) => bound.is_unspecified() && address.to_canonical().is_ipv4(),
            IpAddr::V6(bound) => bound.is_unspecified() && (address.to_canonical().is_ipv6() || !self.v6only),
        }
    }
}

/// Returns those of the listeners that may get a connection to this address. The kernel prefers a listener that is bound
/// to the address itself.
pub fn listeners_for(all: &[InetSocket], to: SocketAddr) -> Vec<InetSocket> {
    let at_port = || {
        let is_one =
            |socket: &&InetSocket| socket.state == TcpState::Listen && socket.local.port() == to.port();
        all.iter().filter(is_one).copied()
    };
    let bound: Vec<_> = at_port().filter(|socket| socket.is_bound_to(to.ip())).collect();
    if bound.is_empty() {
        at_port().filter(|socket| socket.is_bound_to_all(to.ip())).collect()
    } else {
        bound
    }
}
