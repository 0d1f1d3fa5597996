//! The kernel's table of TCP connections.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use super::Stream;
use crate::failure::Doing;
use crate::{Failure, Result};

/// The active timer of a TCP socket, by its number in /proc/net/tcp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpTimer(u8);

impl TcpTimer {
    /// Whether it is the keepalive timer.
    pub fn is_keepalive(self) -> bool {
        self.0 == 2
    }
}

/// Returns the active timer of the peer's socket of `stream`, which may belong to any process of this machine. TCP
/// over IPv4 only.
///
/// # Errors
/// When the connection is not in the table.
pub fn tcp_timer(stream: &Stream) -> Result<TcpTimer> {
    let local = stream.socket().peer_addr().doing(|| "ask for the peer's address".to_owned())?;
    let remote = stream.socket().local_addr().doing(|| "ask for the own address".to_owned())?;
    let wanted = [local.as_socket(), remote.as_socket()]
        .map(|address| address.and_then(written).ok_or_else(|| unexpected("not a TCP/IPv4 connection")));
    let [local, remote] = wanted;
    let (local, remote) = (local?, remote?);
    let table = fs::read_to_string("/proc/net/tcp").doing(|| "read /proc/net/tcp".to_owned())?;
    table
        .lines()
        .find_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let ends = (fields.next()?, fields.next()?);
            // After the state and the queues: "02:00000A3B", the timer's kind and when it fires.
            let timer = fields.nth(2)?.split(':').next()?;
            (ends == (&local, &remote)).then(|| u8::from_str_radix(timer, 16).ok().map(TcpTimer))?
        })
        .ok_or_else(|| unexpected(&format!("no connection {local} {remote} in /proc/net/tcp")))
}

/// Formats an address as in the table: the bytes of the IP address as a number in native byte order, and the port.
fn written(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()))
}

fn unexpected(what: &str) -> Failure {
    Failure::Unexpected(what.to_owned())
}
