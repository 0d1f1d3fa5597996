//! The file of a UNIX socket: its identity, its permissions, its removal. Others may write to its directory, so that each
//! change is made to a file that was opened and identified before.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use dormouse_activate::{set_mode, set_owner};
use dormouse_config::listen_options::FileOptions;
use dormouse_sys::directory::{Directory, DirectoryError};
use rustix::fs::{AtFlags, FileType, Stat, fstat, statat, unlinkat};
use rustix::io::Errno;

/// The operation that failed, and the error.
pub(super) type StepError = (&'static str, io::Error);

/// Sets mode, owner and group of an open file.
pub(super) fn set_permissions_of(file: impl AsFd, options: &FileOptions) -> Result<(), StepError> {
    let FileOptions { mode, owner, group } = options;
    if let Some(mode) = *mode {
        set_mode(&file, mode).map_err(|error| ("set the mode", error))?;
    }
    if owner.is_some() || group.is_some() {
        let (uid, gid) = (owner.as_ref().map(|it| it.id), group.as_ref().map(|it| it.id));
        set_owner(&file, uid, gid).map_err(|error| ("set the owner", error))?;
    }
    Ok(())
}

/// Returns advice if the owner of a socket file cannot be set.
pub(super) fn file_remedy(operation: &str, error: &io::Error) -> Option<&'static str> {
    match (operation, error.kind()) {
        // An error without a number comes from the spawner, and contains its remedy.
        ("set the owner", io::ErrorKind::PermissionDenied) if error.raw_os_error().is_some() => {
            Some("only root can set another owner; other users can set only a group they belong to")
        }
        _ => None,
    }
}

/// The file of a socket that dormouse opened.
#[derive(Debug)]
pub(super) struct SocketFile {
    pub(super) path: PathBuf,
    identity: Identity,
}

/// The device and the inode of a file. They name one file as long as its socket is open, because the socket holds the
/// inode.
pub(super) type Identity = (u64, u64);

impl SocketFile {
    /// Returns the file at a path.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let (directory, name) = Directory::of_file(path).map_err(system_error)?;
        let found = statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Self { path: path.to_owned(), identity: identity(&found) })
    }

    /// Returns the file of this identity at a path.
    pub(super) fn new(path: &Path, identity: Identity) -> Self {
        Self { path: path.to_owned(), identity }
    }

    /// Returns the file if it has this identity. Another file is left alone.
    pub(super) fn matching(self, identity: Option<Identity>) -> Option<Self> {
        if identity == Some(self.identity) {
            return Some(self);
        }
        self.leave();
        None
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) fn is_gone(&self) -> bool {
        self.path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// Keeps the file on drop.
    pub(super) fn leave(mut self) {
        self.path.clear();
    }

    /// Sets mode, owner and group. Another file in its place is not changed.
    pub(super) fn set_permissions(&self, options: &FileOptions) -> Result<(), StepError> {
        self.find().map_or(Ok(()), |file| set_permissions_of(file, options))
    }

    /// Opens the file, unless another one is in its place.
    fn find(&self) -> Option<OwnedFd> {
        let (directory, name) = Directory::of_file(&self.path).ok()?;
        let file = directory.file(&name).ok()?;
        fstat(&file).is_ok_and(|found| identity(&found) == self.identity).then_some(file)
    }

    /// Removes the file, unless another one is in its place.
    fn remove(&self) -> io::Result<()> {
        let (directory, name) = Directory::of_file(&self.path).map_err(system_error)?;
        let found = statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        // Whoever can replace the file now may remove each file of the directory.
        if identity(&found) == self.identity {
            unlinkat(&directory, &name, AtFlags::empty())?;
        }
        Ok(())
    }
}

/// Returns the identity of an open file, which must be a socket.
pub(super) fn identity_of(file: &OwnedFd) -> io::Result<Identity> {
    let found = fstat(file)?;
    if is_socket(&found) { Ok(identity(&found)) } else { Err(Errno::NOTSOCK.into()) }
}

pub(super) fn is_socket(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::Socket
}

fn identity(found: &Stat) -> Identity {
    (found.st_dev, found.st_ino)
}

fn system_error(error: DirectoryError) -> io::Error {
    match error {
        DirectoryError::System(error) => error,
        link @ DirectoryError::ForeignLink { .. } => io::Error::other(link),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}
