//! UNIX sockets in the file system. The path works as soon as it exists, and is not taken from a live listener. A socket
//! gets its permissions in a directory that only this user may enter, so that nobody can put another file in its place.

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use dormouse_config::listen_options::FileOptions;
use dormouse_sys::directory::{Directory, DirectoryError, PrivateDirectory};
use dormouse_sys::socket_fd::{CloseBy, SocketFd};
use dormouse_sys::umask::with_mode;
use dormouse_sys::users::user_name;
use rustix::fs::{AtFlags, RenameFlags, renameat, renameat_with, statat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, bind, connect, listen};

use super::handle::Listener;
use super::socket::socket;
use super::socket_file::{SocketFile, StepError, identity_of, is_socket, set_permissions_of};
use dormouse_connect::Endpoint;

/// The name of a socket in its private directory.
const PRIVATE_NAME: &str = "s";

/// Listens under a temporary name and then renames it, so that no client finds a path that refuses connections. The file
/// of a dead program is replaced; that of a live listener is not.
pub(super) fn open(path: &Path, options: &FileOptions, backlog: i32) -> Result<Listener, StepError> {
    let target = SocketAddrUnix::new(path).map_err(|error| ("bind", error.into()))?;
    let (directory, name) = open_directory(path)?;
    let stale = match statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if !is_socket(&found) => return Err(("bind", Errno::EXIST.into())),
        Ok(_) if is_alive(&target).map_err(|error| ("check for another listener", error))? => {
            return Err(("bind", Errno::ADDRINUSE.into()));
        }
        Ok(_) => true,
        Err(Errno::NOENT) => false,
        Err(error) => return Err(("bind", error.into())),
    };
    let private = directory.create_private(&name).map_err(|error| ("bind", error))?;
    let leftover = Leftover(&private);
    let socket = socket(AddressFamily::UNIX).map_err(|error| ("open a socket", error.into()))?;
    // A restricted process may not change the mode afterwards.
    let bind = || bind_in(&private, &socket);
    options.mode.map_or_else(bind, |mode| with_mode(mode, bind))?;
    let file = private.file(PRIVATE_NAME).map_err(|error| ("inspect its file", error))?;
    // Before listen(2), so that no unauthorized client can connect.
    set_permissions_of(&file, options)?;
    listen(&socket, backlog).map_err(|error| ("listen", error.into()))?;
    let identity = identity_of(&file).map_err(|error| ("inspect its file", error))?;
    move_into_place(&private, &directory, &name, stale).map_err(|error| ("rename it", error))?;
    drop(leftover);
    let mut listener = Listener::new(socket, Endpoint::from(target).to_string());
    listener.file = Some(SocketFile::new(path, identity));
    Ok(listener)
}

/// Opens the directory of a socket. A directory in which every user may replace the socket is refused.
fn open_directory(path: &Path) -> Result<(Directory, OsString), StepError> {
    let opened = Directory::of_file(path).map_err(|error| match error {
        DirectoryError::System(error) => ("bind", error),
        link @ DirectoryError::ForeignLink { .. } => ("unsafe path", io::Error::other(link)),
    })?;
    match UnsafeDirectory::of(&opened.0) {
        None => Ok(opened),
        Some(refused) => Err(("unsafe directory", io::Error::other(refused))),
    }
}

/// Why dormouse does not listen at a path: other users can replace its directory or the socket in it. Each contains the
/// reason with the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnsafePath {
    /// Every user may write to a directory, whoever runs dormouse.
    Directory(String),
    /// Users other than root and that of this process may have placed a symbolic link.
    Link(String),
}

/// Returns why dormouse does not listen at a path. A directory that is missing or that cannot be entered is no reason.
pub fn unsafe_path(path: &Path) -> Option<UnsafePath> {
    match Directory::of_file(path) {
        Ok((directory, _)) => {
            UnsafeDirectory::of(&directory).map(|refused| UnsafePath::Directory(refused.to_string()))
        }
        Err(DirectoryError::System(_)) => None,
        Err(link @ DirectoryError::ForeignLink { .. }) => Some(UnsafePath::Link(link.to_string())),
    }
}

/// A directory in which every user may replace the files of others.
#[derive(Debug)]
struct UnsafeDirectory {
    path: PathBuf,
    owner: u32,
}

impl UnsafeDirectory {
    fn of(directory: &Directory) -> Option<Self> {
        // Owners and groups are the choice of the administrator, who made the directories for them.
        let (path, owner) = directory.open_to_all()?;
        Some(Self { path: path.to_owned(), owner })
    }
}

impl fmt::Display for UnsafeDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, owner) = (self.path.display(), user_name(self.owner));
        write!(
            f,
            "every user may write to {path} (owner {owner}) and replace the socket; set its sticky bit (chmod +t {path}) or remove that right (chmod o-w {path})"
        )
    }
}

impl std::error::Error for UnsafeDirectory {}

/// Binds a socket in a private directory. The kernel keeps the name as the address of the socket, so it is the path that
/// others see, unless others can make that path lead elsewhere.
fn bind_in(private: &PrivateDirectory<'_>, socket: &OwnedFd) -> Result<(), StepError> {
    let address = address_in(private).map_err(|error| ("bind", error.into()))?;
    bind(socket, &address).map_err(|error| ("bind", error.into()))
}

/// Returns the address of the socket in a private directory.
fn address_in(private: &PrivateDirectory<'_>) -> rustix::io::Result<SocketAddrUnix> {
    // The path may be too long for an address.
    let visible = private.path_of(PRIVATE_NAME).and_then(|path| SocketAddrUnix::new(path).ok());
    visible.map_or_else(|| SocketAddrUnix::new(private.path_by_descriptor(PRIVATE_NAME)), Ok)
}

/// Moves a socket to its name, which is free or has the file of a dead program (`stale`).
fn move_into_place(
    private: &PrivateDirectory<'_>,
    directory: &Directory,
    name: &OsStr,
    stale: bool,
) -> io::Result<()> {
    let rename = |flags| renameat_with(private, PRIVATE_NAME, directory, name, flags);
    let moved = match rename(if stale { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE }) {
        // The stale file was removed meanwhile.
        Err(Errno::NOENT) if stale => return move_into_place(private, directory, name, false),
        moved => moved,
    };
    match moved {
        // Whatever had the name is in the private directory now, where no other user can exchange it again. It is
        // removed with that directory.
        Ok(()) if stale => {
            let back = |error: Errno| {
                // Somebody may have removed the new socket meanwhile.
                rename(RenameFlags::EXCHANGE).or_else(|_| rename(RenameFlags::NOREPLACE))?;
                Err(error.into())
            };
            match statat(private, PRIVATE_NAME, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) if !is_socket(&found) => back(Errno::EXIST),
                // A live listener may have replaced the stale file meanwhile.
                _ if address_in(private).is_ok_and(|old| is_alive(&old).unwrap_or(false)) => {
                    back(Errno::ADDRINUSE)
                }
                _ => Ok(()),
            }
        }
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(Errno::ADDRINUSE.into()),
        // Not every file system supports these flags.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            Ok(renameat(private, PRIVATE_NAME, directory, name)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns whether a program listens on an address.
fn is_alive(address: &SocketAddrUnix) -> io::Result<bool> {
    // Whoever listens may have sent descriptors whose close waits.
    let socket = SocketFd::new(socket(AddressFamily::UNIX)?, CloseBy::Unread);
    match connect(&socket, address) {
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes on drop what is left in a private directory.
struct Leftover<'a>(&'a PrivateDirectory<'a>);

impl Drop for Leftover<'_> {
    fn drop(&mut self) {
        // The socket may have been moved to its place.
        let _ = self.0.remove(PRIVATE_NAME);
    }
}
