//! Requests.

use std::net::{IpAddr, SocketAddr};

/// The length of each request, in bytes: the header of netlink, and `inet_diag_req_v2`.
pub const REQUEST_LENGTH: usize = 72;

/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`
const REQUEST: u16 = 0x1;
/// `NLM_F_DUMP`: all sockets that match.
const DUMP: u16 = 0x300;
/// `IPPROTO_TCP`
const TCP: u8 = 6;
/// The set of states that contains only `TCP_LISTEN`.
const LISTENING: u32 = 1 << 10;
/// `INET_DIAG_NOCOOKIE`: a socket of any identity.
const ANY_COOKIE: [u8; 8] = [0xff; 8];

/// An address family of TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6, with the sockets that take both.
    V6,
}

impl Family {
    /// Returns the number of the family.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }
}

/// Returns the request for all listeners of a family at a port. The answers have the same `sequence`.
pub fn listeners_request(family: Family, port: u16, sequence: u32) -> [u8; REQUEST_LENGTH] {
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let at_port = SocketAddr::from(([0, 0, 0, 0], port));
    request(REQUEST | DUMP, family, LISTENING, at_port, any, sequence)
}

/// Returns the request for the socket whose own address is `local` and whose peer is `remote`. If there is none, the
/// kernel describes the listener that would get the connection. The answer has the same `sequence`.
pub fn socket_request(local: SocketAddr, remote: SocketAddr, sequence: u32) -> [u8; REQUEST_LENGTH] {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let family = if canonical(local).is_ipv4() { Family::V4 } else { Family::V6 };
    let scope = if let SocketAddr::V6(local) = local { local.scope_id() } else { 0 };
    let mut all = request(REQUEST, family, u32::MAX, canonical(local), canonical(remote), sequence);
    // A link-local connection belongs to its interface.
    if let Some(interface) = all.get_mut(60..64) {
        interface.copy_from_slice(&scope.to_ne_bytes());
    }
    all
}

fn request(
    flags: u16,
    family: Family,
    states: u32,
    local: SocketAddr,
    remote: SocketAddr,
    sequence: u32,
) -> [u8; REQUEST_LENGTH] {
    let length: u32 = 72;
    let header = [&length.to_ne_bytes()[..], &BY_FAMILY.to_ne_bytes(), &flags.to_ne_bytes()];
    // The port number zero: the kernel.
    let header = [header.concat(), sequence.to_ne_bytes().to_vec(), vec![0; 4]].concat();
    let what = [family.number(), TCP, 0, 0];
    let ports = [local.port().to_be_bytes(), remote.port().to_be_bytes()].concat();
    let addresses = [octets(local.ip()), octets(remote.ip())].concat();
    let body = [&what[..], &states.to_ne_bytes(), &ports, &addresses, &[0; 4], &ANY_COOKIE].concat();
    let mut all = [0; REQUEST_LENGTH];
    for (to, from) in all.iter_mut().zip(header.into_iter().chain(body)) {
        *to = from;
    }
    all
}

/// Returns an address as the kernel writes it: an IPv4 address is in the first four bytes.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(address) => address.octets(),
    }
}
