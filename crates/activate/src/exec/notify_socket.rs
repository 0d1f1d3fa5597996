//! The socket for notifications of a program (`sd_notify(3)`).

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::UnixDatagram;

/// The prefix of the names of the sockets' directories.
const PREFIX: &str = "dormouse-notify-";
/// The longest message that is read, in bytes.
const MAX_MESSAGE: usize = 4096;
/// The number of directory names to try, if others exist already.
const TRIES: u32 = 100;

/// A notification socket, in a directory that only the user of dormouse may enter.
#[derive(Debug)]
pub(super) struct NotifySocket {
    socket: UnixDatagram,
    directory: PathBuf,
}

/// A notification, as far as dormouse uses it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Notification {
    /// The program is ready.
    pub(super) ready: bool,
    /// The program's description of its state.
    pub(super) status: Option<String>,
}

impl NotifySocket {
    /// Opens a socket in a new directory.
    ///
    /// # Errors
    /// When no directory can be created, or no descriptors are left.
    pub(super) fn open() -> io::Result<Self> {
        let directory = create_directory()?;
        match UnixDatagram::bind(directory.join("socket")) {
            Ok(socket) => Ok(Self { socket, directory }),
            Err(error) => {
                let _ = fs::remove_dir(&directory);
                Err(error)
            }
        }
    }

    /// Returns the path of the socket, the value of `NOTIFY_SOCKET`.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// Receives the next notification; `None` after an error of the socket. Cancel safe.
    pub(super) async fn receive(&self) -> Option<Notification> {
        let mut message = [0; MAX_MESSAGE];
        let length = self.socket.recv(&mut message).await.ok()?;
        Some(parse(message.get(..length).unwrap_or_default()))
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        remove(&self.directory);
    }
}

/// Removes, in a guard, the socket of its program. The socket still exists only if dormouse was killed.
pub(super) fn remove_left_behind() {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").map(PathBuf::from) else { return };
    let is_ours = |name: &OsStr| name.to_string_lossy().starts_with(PREFIX);
    if let Some(directory) = socket.parent().filter(|directory| directory.file_name().is_some_and(is_ours)) {
        remove(directory);
    }
}

fn remove(directory: &Path) {
    let _ = fs::remove_file(directory.join("socket"));
    let _ = fs::remove_dir(directory);
}

fn create_directory() -> io::Result<PathBuf> {
    let mut tried = Err(io::ErrorKind::NotFound.into());
    for base in ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"].map(std::env::var_os) {
        // Several runtime directories are separated by colons. Any of them is suitable.
        let base =
            base.as_ref().and_then(|base| base.to_str()?.split(':').next()).filter(|base| !base.is_empty());
        if let Some(base) = base {
            tried = create_in(Path::new(base));
            if tried.is_ok() {
                return tried;
            }
        }
    }
    create_in(Path::new("/tmp")).or(tried)
}

fn create_in(base: &Path) -> io::Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut tried = Err(io::ErrorKind::AlreadyExists.into());
    for _ in 0..TRIES {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("{PREFIX}{}-{number}", std::process::id()));
        tried = DirBuilder::new().mode(0o700).create(&path).map(|()| path);
        match &tried {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            _ => break,
        }
    }
    tried
}

fn parse(message: &[u8]) -> Notification {
    let mut notification = Notification::default();
    for line in String::from_utf8_lossy(message).lines() {
        match line.split_once('=') {
            Some(("READY", "1")) => notification.ready = true,
            Some(("STATUS", status)) => notification.status = Some(status.to_owned()),
            _ => {}
        }
    }
    notification
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn notifications_are_parsed() {
        assert_eq!(
            parse(b"READY=1\nSTATUS=all well\nMAINPID=1"),
            Notification { ready: true, status: Some("all well".to_owned()) }
        );
        for nothing in [&b"READY=0"[..], b"", b"\xff\xfe", b"READY", b"STOPPING=1"] {
            assert_eq!(parse(nothing), Notification::default());
        }
    }

    #[tokio::test]
    async fn the_directory_is_private_and_is_removed() {
        let socket = NotifySocket::open().unwrap();
        let directory = socket.path().parent().unwrap().to_owned();
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender.send_to(b"READY=1", socket.path()).unwrap();
        assert!(socket.receive().await.unwrap().ready);
        drop(socket);
        assert!(!directory.exists());
    }
}
