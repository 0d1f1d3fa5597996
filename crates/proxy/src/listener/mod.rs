//! Where clients arrive: sockets passed in by the service manager, or opened by us.

mod open;
mod passed;
mod path;
mod socket;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use dormouse_config::listen_options::FileOptions;
use rustix::net::{AddressFamily, sockopt};

use crate::connect;
pub use open::{OpenError, adopt, open};
pub use passed::{Passed, PassedError, PassedFds, classify};

/// What is needed to accept clients.
#[derive(Debug)]
pub struct AcceptSocket {
    pub(crate) socket: OwnedFd,
    pub(crate) family: AddressFamily,
    /// The file's path, which the kernel may know by another name.
    pub(crate) path: Option<PathBuf>,
}

/// A listening stream socket.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    name: String,
    family: AddressFamily,
    /// Removes the socket's file when we stop listening.
    file: Option<path::SocketFile>,
}

impl Listener {
    fn new(socket: OwnedFd, name: String) -> Self {
        let family = sockopt::socket_domain(&socket).unwrap_or(AddressFamily::UNSPEC);
        // Accepted sockets inherit the options; without them it is only less well.
        let _ = connect::options::prepare(&socket, family);
        Self { socket, name, family, file: None }
    }

    /// The socket once more, for a task that accepts on it. The listener stays when that ends.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn accept_socket(&self) -> io::Result<AcceptSocket> {
        let path = self.file.as_ref().map(|file| file.path.clone());
        Ok(AcceptSocket { socket: self.socket.try_clone()?, family: self.family, path })
    }

    /// The device and inode of its file, if it has a file of ours.
    pub fn file_identity(&self) -> Option<(u64, u64)> {
        self.file.as_ref().map(path::SocketFile::identity)
    }

    /// Whether somebody has removed its file. Another file in its place is somebody else's.
    pub fn is_file_gone(&self) -> bool {
        self.file.as_ref().is_some_and(path::SocketFile::is_gone)
    }

    /// Leaves its file where it is: somebody else goes on listening.
    pub fn keep_file(&mut self) {
        if let Some(file) = self.file.take() {
            file.leave();
        }
    }

    /// Opens the socket's file to these from now on, if it has a file of ours.
    ///
    /// # Errors
    /// When the kernel does not let us. Then it is open to whom it was.
    pub fn set_file_permissions(&self, options: &FileOptions) -> Result<(), SetFileError> {
        let Some(file) = &self.file else { return Ok(()) };
        file.set_permissions(options).map_err(|(operation, error)| SetFileError {
            path: file.path.clone(),
            operation,
            error,
        })
    }

    /// Where the service manager gave it no name, it is called by its address.
    #[must_use]
    pub fn named_by_address(self) -> Self {
        match passed::address_of_nameless(&self.socket, &self.name) {
            Some(name) => Self { name, ..self },
            None => self,
        }
    }

    /// The listening socket.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }
}

/// Why a socket's file is not open to whom it should be.
#[derive(Debug)]
pub struct SetFileError {
    path: PathBuf,
    operation: &'static str,
    error: io::Error,
}

impl fmt::Display for SetFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, operation, error } = self;
        write!(f, "Failed to change who may connect to {}: {operation}: {error}", path.display())?;
        open::file_remedy(operation, error).map_or(Ok(()), |remedy| write!(f, " ({remedy})"))
    }
}

impl std::error::Error for SetFileError {}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
