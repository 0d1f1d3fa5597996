//! The file of a UNIX socket: its identity, its permissions, its removal.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dormouse_config::listen_options::FileOptions;
use rustix::fs::{Gid, Uid, chown};

/// The operation that failed, and the error.
pub(super) type StepError = (&'static str, io::Error);

/// Sets mode, owner and group of a socket file.
pub(super) fn set_permissions_of(path: &Path, options: &FileOptions) -> Result<(), StepError> {
    let FileOptions { mode, owner, group } = options;
    if let Some(mode) = *mode {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, permissions).map_err(|error| ("set the mode", error))?;
    }
    if owner.is_some() || group.is_some() {
        let (uid, gid) = (owner.as_ref().map(|it| it.id), group.as_ref().map(|it| it.id));
        chown(path, uid.map(Uid::from_raw), gid.map(Gid::from_raw))
            .map_err(|error| ("set the owner", error.into()))?;
    }
    Ok(())
}

/// Returns advice if the owner of a socket file cannot be set.
pub(super) fn file_remedy(operation: &str, error: &io::Error) -> Option<&'static str> {
    match (operation, error.kind()) {
        ("set the owner", io::ErrorKind::PermissionDenied) => {
            Some("only root can set another owner; other users can set only a group they belong to")
        }
        _ => None,
    }
}

/// The file of a socket that dormouse opened.
#[derive(Debug)]
pub(super) struct SocketFile {
    pub(super) path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }

    /// Returns the file if it has this identity. Another file is left alone.
    pub(super) fn matching(self, identity: Option<(u64, u64)>) -> Option<Self> {
        if identity == Some(self.identity) {
            return Some(self);
        }
        self.leave();
        None
    }

    pub(super) fn identity(&self) -> (u64, u64) {
        self.identity
    }

    pub(super) fn is_gone(&self) -> bool {
        identity(&self.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// Keeps the file on drop.
    pub(super) fn leave(mut self) {
        self.path.clear();
    }

    /// Returns whether the path still has this file. Another file in its place is not changed.
    fn is_ours(&self) -> bool {
        identity(&self.path).is_ok_and(|identity| identity == self.identity)
    }

    pub(super) fn set_permissions(&self, options: &FileOptions) -> Result<(), StepError> {
        if self.is_ours() { set_permissions_of(&self.path, options) } else { Ok(()) }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_ours() {
            let _ = fs::remove_file(&self.path);
        }
    }
}
