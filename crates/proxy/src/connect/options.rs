//! Options of TCP sockets on both sides of a session.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io;
use rustix::net::{AddressFamily, getsockname, sockopt};

/// The first probe after so long a silence, and the next ones so far apart.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// A peer that leaves so many unanswered is dead.
const PROBES: u32 = 3;

/// No delay for small messages, and dead peers are noticed after a minute. Sockets accepted from a listener inherit
/// it from there. A listener whose keepalive is on already was configured by somebody: that stays.
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

/// The same for a fresh socket of our own, of which nothing has to be asked.
///
/// # Errors
/// When the socket refuses; it works all the same.
pub(super) fn prepare_fresh(socket: impl AsFd, server: IpAddr) -> io::Result<()> {
    sockopt::set_tcp_nodelay(&socket, true)?;
    expect_no_congestion(&socket, server);
    keep_alive(&socket)
}

/// Whether this is an address of this very machine.
pub(super) fn is_within(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Within a machine there is nothing to congest. The simplest control costs the least there; one that paces (bbr)
/// halves what the loopback carries. To and from other machines the administrator's choice counts.
fn expect_no_congestion(socket: impl AsFd, address: IpAddr) {
    if is_within(address) {
        // Every kernel has this one, and lets everybody use it.
        let _ = sockopt::set_tcp_congestion(socket, "reno");
    }
}

fn keep_alive(socket: impl AsFd) -> io::Result<()> {
    sockopt::set_tcp_keepidle(&socket, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(&socket, KEEPALIVE)?;
    sockopt::set_tcp_keepcnt(&socket, PROBES)?;
    sockopt::set_socket_keepalive(&socket, true)
}
