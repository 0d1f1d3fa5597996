//! What is at the other end of a connection.

use std::net::SocketAddr;

use dormouse_relay::Stream;
use dormouse_sys::credentials::{Credentials, peer_credentials};
use rustix::io::Errno;
use rustix::net::{AddressFamily, getpeername, getsockname};

/// The other side of a connection to a server.
pub(super) enum Peer {
    /// TCP within this machine.
    Inet { local: SocketAddr, peer: SocketAddr },
    /// A UNIX socket, with the credentials of its listener.
    Unix(Credentials),
    /// Another machine, or a virtual one.
    Other,
    /// The connection is over.
    Gone,
}

/// Returns the other side of a connection.
pub(super) fn peer_of(stream: &Stream) -> Peer {
    let Some(socket) = stream.socket() else { return Peer::Other };
    let Ok(local) = getsockname(socket) else { return Peer::Other };
    let peer = match getpeername(socket) {
        Ok(Some(peer)) => peer,
        // A reset has arrived. A stranger may have sent it, who is not there any more when the owner is looked for.
        Err(Errno::NOTCONN) => return Peer::Gone,
        Ok(None) | Err(_) => return Peer::Other,
    };
    if peer.address_family() == AddressFamily::UNIX {
        return peer_credentials(socket).map_or(Peer::Other, Peer::Unix);
    }
    match (SocketAddr::try_from(local), SocketAddr::try_from(peer)) {
        (Ok(local), Ok(peer)) if is_within_machine(local, peer) => Peer::Inet { local, peer },
        _ => Peer::Other,
    }
}

/// Returns whether a connection ends on this machine. Its own address is then that of the peer, or one of loopback.
fn is_within_machine(local: SocketAddr, peer: SocketAddr) -> bool {
    let peer = peer.ip().to_canonical();
    peer.is_loopback() || peer == local.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::thread::yield_now;
    use std::time::Duration;

    use dormouse_relay::StreamKind;
    use rustix::net::sockopt::set_socket_linger;

    fn peer_of_connection(connection: TcpStream) -> Peer {
        peer_of(&Stream::new(connection.into(), StreamKind::Other, false).unwrap())
    }

    #[tokio::test]
    async fn a_connection_that_was_reset_is_that_of_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        set_socket_linger(&accepted, Some(Duration::ZERO)).unwrap();
        drop(accepted);
        while connection.peer_addr().is_ok() {
            yield_now();
        }
        assert!(matches!(peer_of_connection(connection), Peer::Gone));
        let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(matches!(peer_of_connection(connection), Peer::Inet { .. }));
    }
}
