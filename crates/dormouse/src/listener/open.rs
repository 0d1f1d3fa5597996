//! Sockets that we open ourselves.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dormouse_core::address::ListenAddress;
use dormouse_sys::vsock::{CID_ANY, VsockAddr};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getsockname,
    listen, socket_with, sockopt,
};

use super::Listener;
use crate::connect::Endpoint;

/// As many as the kernel allows (net.core.somaxconn).
const BACKLOG: i32 = 4096;

/// Why we cannot listen somewhere.
#[derive(Debug)]
pub struct OpenError {
    /// Where.
    pub address: ListenAddress,
    /// What was tried.
    pub operation: &'static str,
    /// What the kernel said.
    pub error: std::io::Error,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failed to listen on {}: {}: {}", self.address, self.operation, self.error)?;
        match (self.error.kind(), &self.address) {
            (std::io::ErrorKind::AddrInUse, _) => f.write_str(" (another program listens there)"),
            (std::io::ErrorKind::PermissionDenied, ListenAddress::Tcp(address)) if address.port() < 1024 => {
                f.write_str(" (ports below 1024 need CAP_NET_BIND_SERVICE, or a socket unit that passes the socket in)")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for OpenError {}

/// Listens. `mode`: the permissions of a UNIX socket's file; as the umask says if `None`.
///
/// # Errors
/// When the kernel does not let us, or somebody else listens there.
pub fn open(address: &ListenAddress, mode: Option<u32>) -> Result<Listener, OpenError> {
    let failed = |operation| {
        let address = address.clone();
        move |error: std::io::Error| OpenError { address, operation, error }
    };
    let listener = match address {
        ListenAddress::Tcp(tcp) => open_tcp(*tcp).map_err(failed("bind"))?,
        ListenAddress::Unix(path) => return open_path(path.as_path(), mode).map_err(failed("bind")),
        ListenAddress::Abstract(name) => {
            let name =
                SocketAddrUnix::new_abstract_name(name.as_bytes()).map_err(|e| failed("bind")(e.into()))?;
            let socket = socket(AddressFamily::UNIX).and_then(|socket| bind(&socket, &name).map(|()| socket));
            socket.map_err(|error| failed("bind")(error.into()))?
        }
        ListenAddress::Vsock { cid, port } => {
            let address = VsockAddr { cid: cid.unwrap_or(CID_ANY), port: *port };
            let socket =
                socket(AddressFamily::VSOCK).and_then(|socket| bind(&socket, &address).map(|()| socket));
            socket.map_err(|error| failed("bind")(error.into()))?
        }
    };
    listen(&listener, BACKLOG).map_err(|error| failed("listen")(error.into()))?;
    let name = getsockname(&listener).map_or_else(|_| address.to_string(), |bound| name(&bound, address));
    Ok(Listener::new(listener, name))
}

/// Listens on with a socket that was opened for this address before; `identity`: the device and inode of its file then.
/// `None` if it is not that, or its file is gone.
pub fn again(socket: OwnedFd, address: &ListenAddress, identity: Option<(u64, u64)>) -> Option<Listener> {
    let listening = sockopt::socket_type(&socket) == Ok(SocketType::STREAM)
        && sockopt::socket_acceptconn(&socket) == Ok(true);
    let bound = getsockname(&socket).ok().filter(|_| listening)?;
    rustix::io::ioctl_fionbio(&socket, true).ok()?;
    let file = match address {
        ListenAddress::Tcp(asked) => {
            let bound = SocketAddr::try_from(bound.clone()).ok()?;
            let same = bound.ip() == asked.ip() && (asked.port() == 0 || bound.port() == asked.port());
            return same.then(|| Listener::new(socket, bound.to_string()));
        }
        ListenAddress::Unix(path) => {
            let file = SocketFile::of(path.as_path()).ok()?;
            Some(file.that_is(identity)?)
        }
        ListenAddress::Abstract(_) | ListenAddress::Vsock { .. } => None,
    };
    let mut listener = Listener::new(socket, name(&bound, address));
    listener.file = file;
    Some(listener)
}

/// The name of what was bound: with the port that the kernel chose.
fn name(bound: &SocketAddrAny, asked: &ListenAddress) -> String {
    SocketAddr::try_from(bound.clone()).map_or_else(|_| asked.to_string(), |address| address.to_string())
}

fn socket(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

fn open_tcp(address: SocketAddr) -> std::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if let SocketAddr::V6(v6) = address {
        sockopt::set_ipv6_v6only(&socket, !v6.ip().is_unspecified())?;
    }
    bind(&socket, &address)?;
    Ok(socket)
}

/// Listens under a temporary name first and then moves it, so that nobody meets the name before it works. A file
/// that a dead program left is replaced; one that somebody listens on is not.
fn open_path(path: &Path, mode: Option<u32>) -> std::io::Result<Listener> {
    let target = SocketAddrUnix::new(path)?;
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(Errno::EXIST.into()),
        Ok(_) if is_alive(&target)? => return Err(Errno::ADDRINUSE.into()),
        _ => {}
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    // The longer name may not fit where the name itself does; then it is bound in its place.
    let (bound, listener) = match SocketAddrUnix::new(&temporary) {
        Ok(address) => (temporary, address),
        Err(_) => (path.to_owned(), target.clone()),
    };
    let _ = fs::remove_file(&bound);
    let socket = socket(AddressFamily::UNIX)?;
    bind(&socket, &listener)?;
    if let Some(mode) = mode {
        fs::set_permissions(&bound, fs::Permissions::from_mode(mode))?;
    }
    listen(&socket, BACKLOG)?;
    if bound != path {
        fs::rename(&bound, path).inspect_err(|_| drop(fs::remove_file(&bound)))?;
    }
    let file = SocketFile::of(path)?;
    let mut listener = Listener::new(socket, Endpoint::from(target).to_string());
    listener.file = Some(file);
    Ok(listener)
}

/// Whether somebody listens there.
fn is_alive(address: &SocketAddrUnix) -> std::io::Result<bool> {
    match connect(&socket(AddressFamily::UNIX)?, address) {
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The file of a socket of ours.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> std::io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }

    /// Only if it is this one; another one is left alone.
    fn that_is(self, identity: Option<(u64, u64)>) -> Option<Self> {
        if identity == Some(self.identity) {
            return Some(self);
        }
        self.leave();
        None
    }

    pub(super) fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Does not remove it in the end.
    pub(super) fn leave(mut self) {
        self.path.clear();
    }

    /// Somebody may have put another in its place: that one is not ours to change.
    fn is_ours(&self) -> bool {
        identity(&self.path).is_ok_and(|identity| identity == self.identity)
    }

    pub(super) fn set_mode(&self, mode: u32) {
        if self.is_ours() {
            // It was ours to open; where it is not ours any more, its mode is not, either.
            let _ = fs::set_permissions(&self.path, fs::Permissions::from_mode(mode));
        }
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("dormouse-open-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn a_stale_file_is_replaced_a_live_one_is_not_and_ours_is_removed() {
        let directory = directory("stale");
        let path = directory.join("s");
        drop(UnixListener::bind(&path).unwrap());
        let ours = open_path(&path, None).unwrap();
        UnixStream::connect(&path).unwrap();
        assert_eq!(open_path(&path, None).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
        drop(ours);
        assert!(!path.exists());
        fs::write(&path, "precious").unwrap();
        assert!(open_path(&path, None).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_file_that_somebody_put_in_the_place_of_ours_stays() {
        let directory = directory("replaced");
        let path = directory.join("s");
        let ours = open_path(&path, None).unwrap();
        fs::remove_file(&path).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        drop(ours);
        assert!(path.exists());
        fs::remove_dir_all(directory).unwrap();
    }
}
