//! UNIX sockets in the file system. The path works as soon as it exists, and is not taken from a live listener.

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use dormouse_config::listen_options::FileOptions;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, bind, connect, listen};

use super::handle::Listener;
use super::socket::socket;
use super::socket_file::{SocketFile, StepError, set_permissions_of};
use crate::connect::Endpoint;

/// Listens under a temporary name and then renames it, so that no client finds a path that refuses connections. The file
/// of a dead program is replaced; that of a live listener is not.
pub(super) fn open(path: &Path, options: &FileOptions, backlog: i32) -> Result<Listener, StepError> {
    let target = SocketAddrUnix::new(path).map_err(|error| ("bind", error.into()))?;
    let stale = match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(("bind", Errno::EXIST.into())),
        Ok(_) if is_alive(&target).map_err(|error| ("check for another listener", error))? => {
            return Err(("bind", Errno::ADDRINUSE.into()));
        }
        found => found.is_ok(),
    };
    let temporary = TemporaryName::next_to(path);
    let socket = socket(AddressFamily::UNIX).map_err(|error| ("open a socket", error.into()))?;
    // The temporary name may be too long where the path fits; then the path is bound directly.
    if let Ok(address) = SocketAddrUnix::new(&temporary.0) {
        prepare(&socket, &temporary.0, &address, options, backlog)?;
        move_into_place(&temporary.0, path, stale).map_err(|error| ("rename it", error))?;
    } else {
        let _ = fs::remove_file(path);
        prepare(&socket, path, &target, options, backlog).inspect_err(|(operation, _)| {
            if *operation != "bind" {
                let _ = fs::remove_file(path);
            }
        })?;
    }
    let file = SocketFile::of(path).map_err(|error| ("inspect its file", error))?;
    let mut listener = Listener::new(socket, Endpoint::from(target).to_string());
    listener.file = Some(file);
    Ok(listener)
}

/// Binds and listens. The permissions are set before listen(2), so that no unauthorized client can connect.
fn prepare(
    socket: &OwnedFd,
    path: &Path,
    address: &SocketAddrUnix,
    options: &FileOptions,
    backlog: i32,
) -> Result<(), StepError> {
    bind(socket, address).map_err(|error| ("bind", error.into()))?;
    set_permissions_of(path, options)?;
    listen(socket, backlog).map_err(|error| ("listen", error.into()))
}

/// Renames a socket to its path, which is free or has the file of a dead program (`stale`).
fn move_into_place(temporary: &Path, path: &Path, stale: bool) -> io::Result<()> {
    let rename = |flags| renameat_with(CWD, temporary, CWD, path, flags);
    let moved = match rename(if stale { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE }) {
        // The stale file was removed meanwhile.
        Err(Errno::NOENT) if stale => return move_into_place(temporary, path, false),
        moved => moved,
    };
    match moved {
        Ok(()) if stale => {
            // A live listener may have replaced the stale file meanwhile.
            if SocketAddrUnix::new(temporary).is_ok_and(|address| is_alive(&address).unwrap_or(false)) {
                rename(RenameFlags::EXCHANGE)?;
                return Err(Errno::ADDRINUSE.into());
            }
            fs::remove_file(temporary)
        }
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(Errno::ADDRINUSE.into()),
        // Not every file system supports these flags.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::rename(temporary, path),
        Err(error) => Err(error.into()),
    }
}

/// Returns whether a program listens on an address.
fn is_alive(address: &SocketAddrUnix) -> io::Result<bool> {
    match connect(&socket(AddressFamily::UNIX)?, address) {
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A temporary name in the same directory, removed on drop unless it was renamed.
struct TemporaryName(PathBuf);

impl TemporaryName {
    fn next_to(path: &Path) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", std::process::id()));
        let temporary = Self(name.into());
        // A process with the same number may have died before it removed the file.
        let _ = fs::remove_file(&temporary.0);
        temporary
    }
}

impl Drop for TemporaryName {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
