//! Which TCP sockets of this machine exist: the kernel's socket diagnostics (`sock_diag(7)`), over netlink.
//!
//! The kernel answers within the calls, so a question takes some ten microseconds. It describes the sockets of the network
//! namespace of the caller, to any user.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use dormouse_core::sock_diag::{
    Answer, Family, InetSocket, answers, listeners_for, listeners_request, socket_request,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};

/// The longest answer in one datagram, in bytes. The kernel fills 32 KiB at most.
const MAX_DATAGRAM: usize = 32 << 10;
/// The number of datagrams of one answer. It bounds the wait for an answer without an end.
const MAX_DATAGRAMS: usize = 1024;
/// The kernel answers at once. The timeout is for an answer that was lost because memory was short.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns the listeners of this network namespace that may get a connection to `to`.
///
/// # Errors
/// When the kernel does not answer; see [`is_unavailable`].
pub fn listeners(to: SocketAddr) -> Result<Vec<InetSocket>, Errno> {
    let diag = Diag::open()?;
    let mut all = diag.sockets(&listeners_request(Family::V4, to.port(), 1), 1)?;
    match diag.sockets(&listeners_request(Family::V6, to.port(), 2), 2) {
        Ok(found) => all.extend(found),
        // The kernel has no IPv6.
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    Ok(listeners_for(&all, to))
}

/// Returns the other end of a connection within this network namespace. `local` and `remote` are the addresses of this
/// end. Returns `None` if there is no such socket: the connection is over, leads to another machine or namespace, or is
/// translated (NAT).
///
/// # Errors
/// When the kernel does not answer; see [`is_unavailable`].
pub fn other_end(local: SocketAddr, remote: SocketAddr) -> Result<Option<InetSocket>, Errno> {
    let found = Diag::open()?.sockets(&socket_request(remote, local, 1), 1);
    let found = match found {
        Err(Errno::NOENT) => return Ok(None),
        found => found?,
    };
    let same = |one: SocketAddr, other: SocketAddr| {
        one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
    };
    // Without a connection the kernel describes a listener.
    Ok(found.into_iter().find(|socket| same(socket.local, remote) && same(socket.remote, local)))
}

/// Returns whether this error means that the kernel, or the limits of this process, have no socket diagnostics. Other
/// errors may pass.
pub fn is_unavailable(error: Errno) -> bool {
    matches!(
        error,
        Errno::AFNOSUPPORT
            | Errno::PROTONOSUPPORT
            | Errno::NOENT
            | Errno::PERM
            | Errno::ACCESS
            | Errno::OPNOTSUPP
    )
}

/// Returns whether an address is one of this machine: whether a socket for it gets it as its own address, too. No packet
/// is sent.
pub fn is_local(address: IpAddr) -> bool {
    let address = address.to_canonical();
    if address.is_loopback() || address.is_unspecified() {
        return true;
    }
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let own = UdpSocket::bind(any).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    own.is_ok_and(|own| own.ip() == address)
}

/// A netlink socket for socket diagnostics.
struct Diag(OwnedFd);

impl Diag {
    fn open() -> Result<Self, Errno> {
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
        // A connected socket receives messages of the kernel alone.
        connect(&socket, &SocketAddrNetlink::new(0, 0))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        Ok(Self(socket))
    }

    /// Sends a request, and returns the sockets of its answer.
    fn sockets(&self, request: &[u8], sequence: u32) -> Result<Vec<InetSocket>, Errno> {
        retry_on_intr(|| send(&self.0, request, SendFlags::empty()))?;
        let is_dump = request.get(6..8).is_some_and(|flags| flags != 1_u16.to_ne_bytes());
        let mut buffer = vec![0; MAX_DATAGRAM];
        let mut found = Vec::new();
        for _ in 0..MAX_DATAGRAMS {
            let (length, _) = retry_on_intr(|| recv(&self.0, &mut buffer[..], RecvFlags::empty()))?;
            let datagram = buffer.get(..length).unwrap_or_default();
            for answer in answers(datagram, sequence).map_err(|_| Errno::BADMSG)? {
                match answer {
                    Answer::Socket(socket) => found.push(socket),
                    Answer::Done => return Ok(found),
                    Answer::Error(number) => return Err(Errno::from_raw_os_error(number)),
                }
            }
            // The answer about one socket is one message without an end.
            if !is_dump && !found.is_empty() {
                return Ok(found);
            }
        }
        Err(Errno::TIMEDOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_core::sock_diag::TcpState;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    fn inode(socket: impl AsFd) -> u64 {
        rustix::fs::fstat(socket).unwrap().st_ino
    }

    fn listen(address: &str) -> Option<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind(address).ok()?;
        let local = listener.local_addr().unwrap();
        Some((listener, local))
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no netlink")]
    fn listeners_are_found_with_their_inode_and_user() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Some((listener, local)) = listen(address) else { continue };
            let found = listeners(local).unwrap();
            let [one] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!(one.state, TcpState::Listen);
            assert_eq!(one.inode.map(u64::from), Some(inode(&listener)));
            assert_eq!(one.uid, rustix::process::geteuid().as_raw());
            drop(listener);
            assert_eq!(listeners(local).unwrap(), []);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no netlink")]
    fn a_listener_for_all_addresses_gets_connections_to_each() {
        let (_listener, local) = listen("0.0.0.0:0").unwrap();
        let to = |ip: &str| SocketAddr::new(ip.parse().unwrap(), local.port());
        assert_eq!(listeners(to("127.0.0.1")).unwrap().len(), 1);
        assert_eq!(listeners(to("127.7.7.7")).unwrap().len(), 1);
        assert_eq!(listeners(to("::1")).unwrap().len(), 0);
        if let Some((_both, local)) = listen("[::]:0") {
            let found = listeners(SocketAddr::new(to("127.0.0.1").ip(), local.port())).unwrap();
            assert_eq!(found.len(), 1);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no netlink")]
    fn the_other_end_is_queued_until_it_is_accepted_and_closing_after_that() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Some((listener, local)) = listen(address) else { continue };
            let client = TcpStream::connect(local).unwrap();
            let end = || other_end(client.local_addr().unwrap(), local).unwrap();
            assert!(end().unwrap().is_queued());
            let (server, _) = listener.accept().unwrap();
            let accepted = end().unwrap();
            assert_eq!(accepted.inode.map(u64::from), Some(inode(&server)));
            assert_eq!(accepted.state, TcpState::Open);
            drop(server);
            let closed = end().unwrap();
            assert_eq!((closed.state, closed.inode), (TcpState::Closing, None));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no netlink")]
    fn a_connection_that_does_not_exist_has_no_other_end() {
        let (_listener, local) = listen("127.0.0.1:0").unwrap();
        assert_eq!(other_end(([127, 0, 0, 1], 1).into(), local), Ok(None));
        assert_eq!(other_end(([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 2).into()), Ok(None));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no netlink")]
    fn addresses_of_this_machine_are_local() {
        assert!(is_local([127, 0, 0, 1].into()));
        assert!(is_local([127, 3, 2, 1].into()));
        assert!(is_local("::1".parse().unwrap()));
        assert!(is_local("::ffff:127.0.0.1".parse().unwrap()));
        // Reserved for documentation.
        assert!(!is_local([192, 0, 2, 1].into()));
        assert!(!is_local("2001:db8::1".parse().unwrap()));
    }
}
