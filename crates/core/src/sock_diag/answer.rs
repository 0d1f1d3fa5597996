//! Answers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::request::Family;
use super::{InetSocket, TcpState};

/// The bytes are not an answer to these requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed answer of the kernel's socket diagnostics")
    }
}

impl std::error::Error for Malformed {}

/// A part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A socket that matches.
    Socket(InetSocket),
    /// The answer is complete.
    Done,
    /// The request failed with this error number.
    Error(i32),
}

/// The header of netlink, in bytes.
const HEADER: usize = 16;
/// `struct inet_diag_msg`, in bytes.
const SOCKET: usize = 72;
/// The types of messages.
const NOOP: u16 = 1;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const BY_FAMILY: u16 = 20;
/// `INET_DIAG_SKV6ONLY`
const V6ONLY: u16 = 11;
/// `INET_DIAG_CGROUP_ID`
const CGROUP: u16 = 21;
/// The bits of an attribute's type that are flags.
const TYPE_MASK: u16 = 0x3fff;

/// Returns the parts of an answer in one datagram. Parts with another sequence number belong to other requests and are
/// left out.
///
/// # Errors
/// When the datagram is not a sequence of complete messages.
pub fn answers(datagram: &[u8], sequence: u32) -> Result<Vec<Answer>, Malformed> {
    let mut rest = datagram;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(u32_at(rest, 0)?).map_err(|_| Malformed)?;
        let message = rest.get(..length).ok_or(Malformed)?;
        let body = message.get(HEADER..).ok_or(Malformed)?;
        if u32_at(message, 8)? == sequence {
            match u16_at(message, 4)? {
                NOOP => {}
                ERROR => found.push(Answer::Error(error_number(body)?)),
                // Since Linux 4.12 the end of a dump contains its error.
                DONE => found.push(match error_number(body) {
                    Ok(0) | Err(Malformed) => Answer::Done,
                    Ok(number) => Answer::Error(number),
                }),
                BY_FAMILY => found.push(Answer::Socket(socket(body)?)),
                _ => return Err(Malformed),
            }
        }
        // The padding of the last message may be missing.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(found)
}

fn socket(body: &[u8]) -> Result<InetSocket, Malformed> {
    let family = match body.first() {
        Some(2) => Family::V4,
        Some(10) => Family::V6,
        _ => return Err(Malformed),
    };
    let state = match body.get(1) {
        // TCP_ESTABLISHED, TCP_SYN_SENT, TCP_SYN_RECV, TCP_CLOSE_WAIT, TCP_NEW_SYN_RECV
        Some(1..=3 | 8 | 12) => TcpState::Open,
        Some(10) => TcpState::Listen,
        Some(_) => TcpState::Closing,
        None => return Err(Malformed),
    };
    let address = |port: usize, octets: usize| {
        let ip = match family {
            Family::V4 => IpAddr::from(Ipv4Addr::from(array_at::<4>(body, octets)?)),
            Family::V6 => IpAddr::from(Ipv6Addr::from(array_at::<16>(body, octets)?)),
        };
        Ok(SocketAddr::new(ip, u16::from_be_bytes(array_at(body, port)?)))
    };
    let cookie = u64::from(u32_at(body, 44)?) | u64::from(u32_at(body, 48)?) << 32;
    let mut found = InetSocket {
        local: address(4, 8)?,
        remote: address(6, 24)?,
        state,
        inode: Some(u32_at(body, 68)?).filter(|inode| *inode != 0),
        uid: u32_at(body, 64)?,
        cookie,
        v6only: false,
        cgroup: None,
    };
    attributes(body.get(SOCKET..).ok_or(Malformed)?, |kind, value| {
        match kind {
            V6ONLY => found.v6only = value.first().is_some_and(|only| *only != 0),
            CGROUP => {
                let number = u64::from_ne_bytes(array_at(value, 0)?);
                found.cgroup = (number != 0).then_some(number);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(found)
}

/// Calls `each` with the type and the value of each attribute.
fn attributes(
    mut rest: &[u8],
    mut each: impl FnMut(u16, &[u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    while !rest.is_empty() {
        let length = usize::from(u16_at(rest, 0)?);
        let value = rest.get(4..length).ok_or(Malformed)?;
        each(u16_at(rest, 2)? & TYPE_MASK, value)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

/// Returns the error number that a message carries; zero is success.
fn error_number(body: &[u8]) -> Result<i32, Malformed> {
    Ok(i32::from_ne_bytes(array_at(body, 0)?).saturating_neg())
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Malformed> {
    array_at(bytes, at).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Malformed> {
    array_at(bytes, at).map(u32::from_ne_bytes)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Malformed> {
    let end = at.checked_add(N).ok_or(Malformed)?;
    bytes.get(at..end).and_then(|part| part.try_into().ok()).ok_or(Malformed)
}
