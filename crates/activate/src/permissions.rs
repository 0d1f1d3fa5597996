//! The mode and the owner of files that dormouse has created. A restricted process may not change those of any file, so
//! the spawner does, for sockets in the directories of the configuration.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use dormouse_sys::chmod::chmod;
use rustix::fs::{AtFlags, Gid, Stat, Uid, chownat, fstat};
use serde::{Deserialize, Serialize};

use crate::spawner::change_file;

/// The bits of a mode that chmod(2) changes.
const MODE: u32 = 0o7777;

/// The files whose mode and owner may be changed: UNIX sockets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changeable {
    /// The directories in which they are, without symbolic links.
    pub directories: BTreeSet<PathBuf>,
    /// The directory of the directories of notification sockets.
    pub notify: Option<PathBuf>,
    /// The users who may become owners.
    pub users: BTreeSet<u32>,
    /// The groups that they may get.
    pub groups: BTreeSet<u32>,
}

/// A change of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    /// Another mode.
    Mode(u32),
    /// Another owner, another group, or both.
    Owner { uid: Option<u32>, gid: Option<u32> },
}

/// Sets the mode of an open file, which may be open for its properties only (`O_PATH`).
///
/// # Errors
/// When the system or the spawner refuses, or the spawner has ended.
pub fn set_mode(file: impl AsFd, mode: u32) -> io::Result<()> {
    make(file.as_fd(), Change::Mode(mode))
}

/// Sets the owner and the group of an open file, as for [`set_mode`]. `None` changes nothing.
///
/// # Errors
/// As for [`set_mode`].
pub fn set_owner(file: impl AsFd, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    make(file.as_fd(), Change::Owner { uid, gid })
}

fn make(file: BorrowedFd<'_>, change: Change) -> io::Result<()> {
    if fstat(file).is_ok_and(|found| change.is_made(&found)) {
        return Ok(());
    }
    change_file(&change, file).unwrap_or_else(|| change.carry_out(file))
}

impl Change {
    /// Returns whether a file is as it is to be.
    fn is_made(self, found: &Stat) -> bool {
        match self {
            Self::Mode(mode) => found.st_mode & MODE == mode,
            Self::Owner { uid, gid } => {
                uid.is_none_or(|uid| found.st_uid == uid) && gid.is_none_or(|gid| found.st_gid == gid)
            }
        }
    }

    /// Changes a file, in a process that is not restricted.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn carry_out(self, file: BorrowedFd<'_>) -> io::Result<()> {
        match self {
            Self::Mode(mode) => chmod(file, mode),
            Self::Owner { uid, gid } => {
                let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
                Ok(chownat(file, "", uid, gid, AtFlags::EMPTY_PATH)?)
            }
        }
    }
}
