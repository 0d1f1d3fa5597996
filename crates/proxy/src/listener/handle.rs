//! The handle of a listening socket.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use dormouse_config::endpoint;
use dormouse_config::listen_options::FileOptions;
use dormouse_core::address::ListenAddress;
use dormouse_sys::socket_fd::{CloseBy, SocketFd};
use rustix::net::{AddressFamily, SocketAddrUnix, getsockname, sockopt};

use super::socket_file::{SocketFile, file_remedy};
use dormouse_connect::{self, Endpoint};

/// A duplicate of a listener's socket for the accept task.
#[derive(Debug)]
pub struct AcceptSocket {
    pub(crate) socket: SocketFd,
    pub(crate) family: AddressFamily,
    /// The path of the socket file. The kernel may report the name before a rename.
    pub(crate) path: Option<PathBuf>,
    /// The service manager passed the socket, and keeps it.
    pub(crate) shared: bool,
}

/// A listening stream socket.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: SocketFd,
    name: String,
    family: AddressFamily,
    /// Removes the socket file on drop.
    pub(super) file: Option<SocketFile>,
    /// The service manager passed the socket, and keeps it.
    pub(super) shared: bool,
}

impl Listener {
    pub(super) fn new(socket: OwnedFd, name: String) -> Self {
        let family = sockopt::socket_domain(&socket).unwrap_or(AddressFamily::UNSPEC);
        // Accepted sockets inherit the options, which only improve performance.
        let _ = dormouse_connect::options::prepare(&socket, family);
        Self { socket: listening(socket, family), name, family, file: None, shared: false }
    }

    /// Duplicates the socket for a task that accepts on it. The listener outlives the task.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn accept_socket(&self) -> io::Result<AcceptSocket> {
        let path = self.file.as_ref().map(|file| file.path.clone());
        let socket = listening(self.socket.as_fd().try_clone_to_owned()?, self.family);
        Ok(AcceptSocket { socket, family: self.family, path, shared: self.shared })
    }

    /// Returns device and inode of the socket file, if dormouse created one.
    pub fn file_identity(&self) -> Option<(u64, u64)> {
        self.file.as_ref().map(SocketFile::identity)
    }

    /// Returns whether the socket file was removed. Another file in its place does not count.
    pub fn is_file_gone(&self) -> bool {
        self.file.as_ref().is_some_and(SocketFile::is_gone)
    }

    /// Keeps the socket file on drop, because another process continues to listen.
    pub fn keep_file(&mut self) {
        if let Some(file) = self.file.take() {
            file.leave();
        }
    }

    /// Sets mode, owner and group of the socket file, if dormouse created one.
    ///
    /// # Errors
    /// When the kernel refuses. Then the permissions stay as they are.
    pub fn set_file_permissions(&self, options: &FileOptions) -> Result<(), SetFileError> {
        let Some(file) = &self.file else { return Ok(()) };
        file.set_permissions(options).map_err(|(operation, error)| SetFileError {
            path: file.path.clone(),
            operation,
            error,
        })
    }

    /// Names the listener by its address if the service manager gave it no name.
    #[must_use]
    pub fn named_by_address(self) -> Self {
        match address_of_nameless(&self.socket, &self.name) {
            Some(name) => Self { name, ..self },
            None => self,
        }
    }

    /// The listening socket.
    pub fn socket(&self) -> &SocketFd {
        &self.socket
    }
}

/// Returns a listening socket whose close does not wait for what clients in its queue have sent.
fn listening(socket: OwnedFd, family: AddressFamily) -> SocketFd {
    let close_by = if family == AddressFamily::UNIX { CloseBy::Queue } else { CloseBy::ThisThread };
    SocketFd::new(socket, close_by)
}

/// Why the permissions of a socket file could not be set.
#[derive(Debug)]
pub struct SetFileError {
    path: PathBuf,
    operation: &'static str,
    error: io::Error,
}

impl fmt::Display for SetFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, operation, error } = self;
        write!(f, "cannot set the permissions of {}: {operation}: {error}", path.display())?;
        file_remedy(operation, error).map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

impl std::error::Error for SetFileError {}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Returns the address of a TCP socket, with the port that the kernel chose.
pub(super) fn bound_address(socket: impl AsFd) -> Option<String> {
    let bound = SocketAddr::try_from(getsockname(&socket).ok()?).ok()?;
    let v6only = bound.is_ipv6() && sockopt::ipv6_v6only(&socket) != Ok(false);
    Some(endpoint::shown(&ListenAddress::Tcp(bound), v6only))
}

/// Returns the address of a socket whose name is empty or "unknown".
pub(super) fn address_of_nameless(socket: impl AsFd, name: &str) -> Option<String> {
    if !matches!(name, "" | "unknown") {
        return None;
    }
    if let Some(address) = bound_address(&socket) {
        return Some(address);
    }
    let address = SocketAddrUnix::try_from(getsockname(socket).ok()?).ok()?;
    Some(Endpoint::from(address).to_string())
}
