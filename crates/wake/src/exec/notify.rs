//! What a program tells about itself (`sd_notify(3)`).

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::UnixDatagram;

/// How names of our directories begin.
const PREFIX: &str = "dormouse-notify-";
/// More is not taken of one message.
const MESSAGE: usize = 4096;
/// Names that somebody else has taken.
const TRIES: u32 = 100;

/// A socket that a program can tell us things at, in a directory that only our user may enter.
#[derive(Debug)]
pub(super) struct Ear {
    socket: UnixDatagram,
    directory: PathBuf,
}

/// What a program told, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// It is ready.
    pub(super) ready: bool,
    /// How it describes its state.
    pub(super) status: Option<String>,
}

impl Ear {
    /// Opens one.
    ///
    /// # Errors
    /// When there is no directory that we may write to, or no descriptor left.
    pub(super) fn open() -> io::Result<Self> {
        let directory = directory()?;
        match UnixDatagram::bind(directory.join("socket")) {
            Ok(socket) => Ok(Self { socket, directory }),
            Err(error) => {
                let _ = fs::remove_dir(&directory);
                Err(error)
            }
        }
    }

    /// What belongs into `NOTIFY_SOCKET`.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// The next message; `None` if there can be none any more. Cancelling it loses nothing.
    pub(super) async fn hear(&self) -> Option<Told> {
        let mut message = [0; MESSAGE];
        let length = self.socket.recv(&mut message).await.ok()?;
        Some(parse(message.get(..length).unwrap_or_default()))
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        remove(&self.directory);
    }
}

/// In a guard: removes the socket that its program was given. It is there only if whoever made it could not remove it.
pub(super) fn remove_left_behind() {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").map(PathBuf::from) else { return };
    let ours = |name: &OsStr| name.to_string_lossy().starts_with(PREFIX);
    if let Some(directory) = socket.parent().filter(|directory| directory.file_name().is_some_and(ours)) {
        remove(directory);
    }
}

fn remove(directory: &Path) {
    let _ = fs::remove_file(directory.join("socket"));
    let _ = fs::remove_dir(directory);
}

fn directory() -> io::Result<PathBuf> {
    let mut tried = Err(io::ErrorKind::NotFound.into());
    for base in ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"].map(std::env::var_os) {
        // Several runtime directories are joined by colons; any of them will do.
        let base =
            base.as_ref().and_then(|base| base.to_str()?.split(':').next()).filter(|base| !base.is_empty());
        if let Some(base) = base {
            tried = fresh(Path::new(base));
            if tried.is_ok() {
                return tried;
            }
        }
    }
    fresh(Path::new("/tmp")).or(tried)
}

fn fresh(base: &Path) -> io::Result<PathBuf> {
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

fn parse(message: &[u8]) -> Told {
    let mut told = Told::default();
    for line in String::from_utf8_lossy(message).lines() {
        match line.split_once('=') {
            Some(("READY", "1")) => told.ready = true,
            Some(("STATUS", status)) => told.status = Some(status.to_owned()),
            _ => {}
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn messages() {
        assert_eq!(
            parse(b"READY=1\nSTATUS=all well\nMAINPID=1"),
            Told { ready: true, status: Some("all well".to_owned()) }
        );
        for nothing in [&b"READY=0"[..], b"", b"\xff\xfe", b"READY", b"STOPPING=1"] {
            assert_eq!(parse(nothing), Told::default());
        }
    }

    #[tokio::test]
    async fn nobody_else_may_enter_and_nothing_stays() {
        let ear = Ear::open().unwrap();
        let directory = ear.path().parent().unwrap().to_owned();
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        let speaker = std::os::unix::net::UnixDatagram::unbound().unwrap();
        speaker.send_to(b"READY=1", ear.path()).unwrap();
        assert!(ear.hear().await.unwrap().ready);
        drop(ear);
        assert!(!directory.exists());
    }
}
