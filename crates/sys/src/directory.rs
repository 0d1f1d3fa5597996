//! Directories whose path no other user can redirect, and private directories in them.
//!
//! Whoever may write to a directory can replace each name in it. A path is therefore opened one name at a time, and a
//! symbolic link counts only if no other user can have made it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, mkdirat, open, openat, readlinkat, unlinkat};
use rustix::io::Errno;

/// The flags that open a directory for the names in it. A symbolic link is not followed.
const DIRECTORY: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// The flags that open any file for its properties.
const FILE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// The largest number of links in a path, as in the kernel.
const MAX_LINKS: usize = 40;
/// The number of names to try for a private directory.
const TRIES: usize = 16;

/// The other users who may write to a file, or replace the names in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// All users of this machine.
    Everybody,
    /// The owner, by number.
    User(u32),
    /// The members of the group, by number.
    Group(u32),
}

impl Writer {
    /// Returns who may write, besides root and the user of this process. In a directory with the sticky bit only the
    /// owner of the directory can replace the files of others.
    pub fn of(found: &Stat) -> Option<Self> {
        Self::beside(own_id(), found)
    }

    fn beside(us: u32, found: &Stat) -> Option<Self> {
        let mode = Mode::from_raw_mode(found.st_mode);
        let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        let is_sticky = is_directory && mode.contains(Mode::SVTX);
        if mode.contains(Mode::WOTH) && !is_sticky {
            Some(Self::Everybody)
        } else if !is_trusted(us, found.st_uid) {
            Some(Self::User(found.st_uid))
        } else if mode.contains(Mode::WGRP) && !is_sticky {
            Some(Self::Group(found.st_gid))
        } else {
            None
        }
    }
}

/// Returns whether a user has no less privilege than the user of this process.
fn is_trusted(us: u32, uid: u32) -> bool {
    uid == 0 || uid == us
}

/// Returns whether users without privileges may place names in a directory.
fn may_be_placed(directory: &Stat) -> bool {
    Mode::from_raw_mode(directory.st_mode).intersects(Mode::WGRP | Mode::WOTH)
}

fn own_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Why a directory could not be opened.
#[derive(Debug)]
pub enum DirectoryError {
    /// The system's error.
    System(io::Error),
    /// The path has a symbolic link that another user may have placed.
    ForeignLink {
        /// The path of the link.
        link: PathBuf,
        /// The number of the link's owner.
        owner: u32,
    },
}

impl From<Errno> for DirectoryError {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => error.fmt(f),
            Self::ForeignLink { link, owner } => {
                let owner = crate::users::user_name(*owner);
                let link = link.display();
                write!(
                    f,
                    "{link} is a symbolic link of {owner} in a directory that others may write to; write the path without it"
                )
            }
        }
    }
}

impl std::error::Error for DirectoryError {}

/// An open directory (`O_PATH`).
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    found: Stat,
    /// Another user may replace a name on the path.
    redirectable: bool,
    /// The first directory on the path in which every user may replace the names of others, and its owner.
    open_to_all: Option<(PathBuf, u32)>,
}

impl Directory {
    /// Opens a directory by its absolute path.
    ///
    /// # Errors
    /// When the system refuses, or another user may have placed a symbolic link in the path.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        Self::open_as(own_id(), path)
    }

    /// Opens a directory by its absolute path, for what a program of this user may do there. Also a link that this user may
    /// have placed is refused, where this process has the same user.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_for(user: u32, path: &Path) -> Result<Self, DirectoryError> {
        let own = own_id();
        Self::open_as(if own == user { 0 } else { own }, path)
    }

    /// Returns the path that leads here without links, as the kernel knows it.
    ///
    /// # Errors
    /// When /proc is missing.
    pub fn real_path(&self) -> io::Result<PathBuf> {
        std::fs::read_link(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))
    }

    /// Returns the descriptor.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    fn open_as(us: u32, path: &Path) -> Result<Self, DirectoryError> {
        if !path.is_absolute() {
            return Err(Errno::INVAL.into());
        }
        let root = || -> Result<(OwnedFd, Stat), Errno> {
            let fd = open("/", DIRECTORY, Mode::empty())?;
            let found = fstat(&fd)?;
            Ok((fd, found))
        };
        let (mut fd, mut found) = root()?;
        let mut seen = PathBuf::from("/");
        let mut names = names_of(path);
        let (mut links, mut redirectable, mut open_to_all) = (0, false, None);
        while let Some(name) = names.pop() {
            let writer = Writer::beside(us, &found);
            redirectable |= writer.is_some();
            if writer == Some(Writer::Everybody) && open_to_all.is_none() {
                open_to_all = Some((seen.clone(), found.st_uid));
            }
            match openat(&fd, &name, DIRECTORY, Mode::empty()) {
                Ok(next) => {
                    found = fstat(&next)?;
                    fd = next;
                    seen.push(&name);
                }
                // The kernel says so of a symbolic link, too.
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let link = openat(&fd, &name, FILE, Mode::empty())?;
                    let owner = link_owner(&link)?;
                    // In a sticky directory others may place names, although they may not replace those of others.
                    if (writer.is_some() || may_be_placed(&found)) && !is_trusted(us, owner) {
                        return Err(DirectoryError::ForeignLink { link: seen.join(&name), owner });
                    }
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = readlinkat(&link, "", Vec::new())?;
                    let target = Path::new(OsStr::from_bytes(target.to_bytes()));
                    if target.is_absolute() {
                        (fd, found) = root()?;
                        seen = PathBuf::from("/");
                    }
                    names.append(&mut names_of(target));
                }
                Err(error) => return Err(error.into()),
            }
        }
        if Writer::beside(us, &found) == Some(Writer::Everybody) && open_to_all.is_none() {
            open_to_all = Some((seen, found.st_uid));
        }
        Ok(Self { fd, path: path.to_owned(), found, redirectable, open_to_all })
    }

    /// Opens the directory of a file by the file's absolute path. Returns the name of the file, too.
    ///
    /// # Errors
    /// As for [`open`](Self::open), and when the path does not end with a name.
    pub fn of_file(path: &Path) -> Result<(Self, OsString), DirectoryError> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::ISDIR.into());
        };
        Ok((Self::open(directory)?, name.to_owned()))
    }

    /// Returns the other users who may replace the names in this directory.
    pub fn writer(&self) -> Option<Writer> {
        Writer::of(&self.found)
    }

    /// Returns the first directory on the path, this one included, in which every user may replace the names of others,
    /// and the number of its owner.
    pub fn open_to_all(&self) -> Option<(&Path, u32)> {
        self.open_to_all.as_ref().map(|(path, owner)| (path.as_path(), *owner))
    }

    /// Opens a file of this directory for its properties (`O_PATH`). A symbolic link is opened itself.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn file(&self, name: impl AsRef<OsStr>) -> io::Result<OwnedFd> {
        Ok(openat(&self.fd, name.as_ref(), FILE, Mode::empty())?)
    }

    /// Creates a directory here that only this user may enter. Its name begins with `prefix` and cannot be guessed.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn create_private(&self, prefix: &OsStr) -> io::Result<PrivateDirectory<'_>> {
        for _ in 0..TRIES {
            // Its keys come from the system's random numbers.
            let random = RandomState::new().build_hasher().finish();
            let mut name = prefix.to_owned();
            name.push(format!(".{random:016x}"));
            match mkdirat(&self.fd, &name, Mode::RWXU) {
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => return PrivateDirectory::open(self, name),
            }
        }
        Err(Errno::EXIST.into())
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A directory that only this user may enter. It is removed on drop, if it is empty.
#[derive(Debug)]
pub struct PrivateDirectory<'a> {
    parent: &'a Directory,
    name: OsString,
    fd: OwnedFd,
}

impl<'a> PrivateDirectory<'a> {
    /// Opens a directory that was just created. Another user may have replaced it, where that user may write to the
    /// parent.
    fn open(parent: &'a Directory, name: OsString) -> io::Result<Self> {
        let fd = openat(&parent.fd, &name, DIRECTORY, Mode::empty())?;
        let private = Self { parent, name, fd };
        let found = fstat(&private.fd)?;
        let for_others = Mode::from_raw_mode(found.st_mode).intersects(Mode::RWXG | Mode::RWXO);
        if found.st_uid != own_id() || for_others {
            return Err(io::Error::other(
                "a new directory in it is not for this user alone: another user replaced it, or the file system keeps no owners",
            ));
        }
        Ok(private)
    }

    /// Returns the path of a name in this directory, unless another user can make it lead elsewhere.
    pub fn path_of(&self, name: &str) -> Option<PathBuf> {
        let is_fixed = !self.parent.redirectable && self.parent.writer().is_none();
        is_fixed.then(|| self.parent.path.join(&self.name).join(name))
    }

    /// Returns a path of a name in this directory that leads here in any case. It is valid in this process.
    pub fn path_by_descriptor(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.fd.as_raw_fd()))
    }

    /// Opens a file of this directory for its properties (`O_PATH`).
    ///
    /// # Errors
    /// When the system refuses.
    pub fn file(&self, name: &str) -> io::Result<OwnedFd> {
        Ok(openat(&self.fd, name, FILE, Mode::empty())?)
    }

    /// Removes a file from this directory.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name, AtFlags::empty())?)
    }
}

impl AsFd for PrivateDirectory<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for PrivateDirectory<'_> {
    fn drop(&mut self) {
        let _ = unlinkat(&self.parent.fd, &self.name, AtFlags::REMOVEDIR);
    }
}

/// Returns the names of a path, the last one first.
fn names_of(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str().to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}

/// Returns the owner of a symbolic link.
fn link_owner(link: &OwnedFd) -> Result<u32, Errno> {
    let found = fstat(link)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Symlink => Ok(found.st_uid),
        _ => Err(Errno::NOTDIR),
    }
}

#[cfg(test)]
mod tests;
