//! Sockets that the service manager passes.

use std::fmt;

use dormouse_core::plural::counted;
use dormouse_log::{Level, Log};
use dormouse_sys::listen_fds::{self, ListenFdsError, PassedFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SocketType, sockopt};

use super::handle::{Listener, address_of_nameless};

/// The descriptors that the service manager passed to the process.
pub type PassedFds = Result<listen_fds::PassedFds, ListenFdsError>;

/// The classified descriptors.
#[derive(Debug)]
pub enum Passed {
    /// No descriptors.
    Nothing,
    /// Listening sockets (Accept=no).
    Listeners(Vec<Listener>),
    /// One connected socket (Accept=yes).
    Connected(std::os::fd::OwnedFd),
}

/// Why the passed descriptors cannot be used: systemd-socket-proxyd's message, then the reason.
#[derive(Debug)]
pub enum PassedError {
    /// The environment variables are invalid.
    Variables(ListenFdsError),
    /// A descriptor is no stream socket.
    NotAStream {
        /// Its name.
        name: String,
        /// What the descriptor is instead.
        is: &'static str,
    },
}

impl fmt::Display for PassedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variables(error) => write!(f, "Failed to receive sockets from parent. ({error})"),
            Self::NotAStream { name, is } => {
                write!(f, "Passed in socket is not a stream socket. (\"{name}\" is {is}; use ListenStream=)")
            }
        }
    }
}

impl std::error::Error for PassedError {}

impl From<ListenFdsError> for PassedError {
    fn from(error: ListenFdsError) -> Self {
        Self::Variables(error)
    }
}

/// Warns of passed sockets that nobody serves: `LISTEN_FDS` includes fewer sockets than `LISTEN_FDNAMES`, as with an
/// `Environment=LISTEN_FDS=` in the unit, which replaces the manager's.
pub fn warn_of_left_out(names: &[String], log: &Log) {
    /// The most names in a line.
    const MAX_NAMES: usize = 10;
    if names.is_empty() {
        return;
    }
    let count = counted(names.len(), "passed socket is", "passed sockets are");
    let more = if names.len() > MAX_NAMES { ", ..." } else { "" };
    let names = names.iter().take(MAX_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    log.line(
        Level::Warning,
        format_args!(
            "{count} not served, because LISTEN_FDS includes fewer sockets than LISTEN_FDNAMES: {names}{more}. Remove \
             Environment=LISTEN_FDS= from the unit."
        ),
    );
}

/// Classifies the descriptors as listeners or one connected socket, and rejects everything else.
///
/// # Errors
/// When a descriptor is neither, as in systemd-socket-proxyd.
pub fn classify(mut passed: Vec<PassedFd>) -> Result<Passed, PassedError> {
    if passed.is_empty() {
        return Ok(Passed::Nothing);
    }
    if let [only] = passed.as_slice() {
        if is_stream(only).is_ok() && !is_listening(only) && is_connected(only) {
            return Ok(passed.pop().map_or(Passed::Nothing, |only| Passed::Connected(only.fd)));
        }
    }
    let mut listeners = Vec::with_capacity(passed.len());
    for socket in passed {
        let refused = |is| PassedError::NotAStream { name: display_name(&socket), is };
        is_stream(&socket).map_err(refused)?;
        if !is_listening(&socket) {
            return Err(refused("not listening"));
        }
        // Accept must not block: another process may share the socket and be faster.
        let _ = rustix::io::ioctl_fionbio(&socket.fd, true);
        let mut listener = Listener::new(socket.fd, socket.name);
        listener.shared = true;
        listeners.push(listener);
    }
    Ok(Passed::Listeners(listeners))
}

fn is_stream(socket: &PassedFd) -> Result<(), &'static str> {
    match sockopt::socket_type(&socket.fd) {
        Ok(SocketType::STREAM) => Ok(()),
        Ok(SocketType::DGRAM) => Err("a datagram socket"),
        Ok(SocketType::SEQPACKET) => Err("a seqpacket socket"),
        Ok(_) => Err("a socket of another type"),
        Err(_) => Err("not a socket"),
    }
}

fn is_listening(socket: &PassedFd) -> bool {
    sockopt::socket_acceptconn(&socket.fd).unwrap_or(false)
}

/// Returns whether a socket has a peer, or a pending error because its peer reset it.
fn is_connected(socket: &PassedFd) -> bool {
    let was_reset = || {
        let mut polled = [PollFd::new(&socket.fd, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut polled, Some(&at_once)).is_ok_and(|ready| ready > 0)
            && polled.iter().any(|polled| polled.revents().contains(PollFlags::ERR))
    };
    rustix::net::getpeername(&socket.fd).is_ok() || was_reset()
}

/// Returns the name that the manager gave, or the address.
fn display_name(socket: &PassedFd) -> String {
    address_of_nameless(&socket.fd, &socket.name).unwrap_or_else(|| socket.name.clone())
}
