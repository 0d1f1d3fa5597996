//! Options of TCP sockets on both sides of a session.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io;
use rustix::net::{AddressFamily, getsockname, sockopt};

/// The time before the first keepalive probe, and between probes.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// The number of unanswered probes after which a peer is dead.
const PROBES: u32 = 3;

/// Disables Nagle's algorithm, and enables keepalive so that dead peers are noticed after a minute. Accepted sockets
/// inherit the options of the listener. A listener with keepalive enabled keeps its settings.
///
/// # Errors
/// When the socket refuses; it works all the same.
pub fn prepare(socket: impl AsFd, family: AddressFamily) -> io::Result<()> {
    if !matches!(family, AddressFamily::INET | AddressFamily::INET6) {
        return Ok(());
    }
    sockopt::set_tcp_nodelay(&socket, true)?;
    if let Ok(address) = SocketAddr::try_from(getsockname(&socket)?) {
        expect_no_congestion(&socket, address.ip());
    }
    if sockopt::socket_keepalive(&socket)? {
        return Ok(());
    }
    keep_alive(&socket)
}

/// Sets the same options on a new socket, without reading its state.
///
/// # Errors
/// When the socket refuses; it works all the same.
pub(super) fn prepare_fresh(socket: impl AsFd, server: IpAddr) -> io::Result<()> {
    sockopt::set_tcp_nodelay(&socket, true)?;
    expect_no_congestion(&socket, server);
    keep_alive(&socket)
}

/// Returns whether an address is a loopback address.
pub(super) fn is_within(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Selects the cheapest congestion control on loopback, where pacing (bbr) halves the throughput. For other machines the
/// administrator's choice applies.
fn expect_no_congestion(socket: impl AsFd, address: IpAddr) {
    if is_within(address) {
        // Every kernel has reno and permits it to all users.
        let _ = sockopt::set_tcp_congestion(socket, "reno");
    }
}

fn keep_alive(socket: impl AsFd) -> io::Result<()> {
    sockopt::set_tcp_keepidle(&socket, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(&socket, KEEPALIVE)?;
    sockopt::set_tcp_keepcnt(&socket, PROBES)?;
    sockopt::set_socket_keepalive(&socket, true)
}
