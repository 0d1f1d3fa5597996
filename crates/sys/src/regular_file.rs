//! Regular files, read without a wait for another program: a pipe, a socket or a device in their place is an error.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat, open};

use crate::directory::Writer;

/// An open regular file.
#[derive(Debug)]
pub struct RegularFile {
    file: File,
    writer: Option<Writer>,
}

/// Why a file cannot be read.
#[derive(Debug)]
pub enum FileError {
    /// The system's error.
    System(io::Error),
    /// The kind of the file, with its article.
    NotRegular(&'static str),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => error.fmt(f),
            Self::NotRegular(kind) => write!(f, "{kind}, not a regular file"),
        }
    }
}

impl std::error::Error for FileError {}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl RegularFile {
    /// Opens a file. Symbolic links are followed.
    ///
    /// # Errors
    /// When the system refuses, or the file is not a regular one.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        // Before the open, because the open alone can start a device.
        is_regular(fs::metadata(path)?.file_type())?;
        // The file may be another one by now, so the open must not wait either.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(open(path, flags, Mode::empty()).map_err(io::Error::from)?);
        is_regular(file.metadata()?.file_type())?;
        let writer = Writer::of(&fstat(&file).map_err(io::Error::from)?);
        Ok(Self { file, writer })
    }

    /// Returns the other users who may change the file.
    pub fn writer(&self) -> Option<Writer> {
        self.writer
    }

    /// Reads the file up to this number of bytes.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn read_at_most(self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Reads the start of a file.
///
/// # Errors
/// When the system refuses, or the file is not a regular one.
pub fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    Ok(RegularFile::open(path)?.read_at_most(limit)?)
}

fn is_regular(kind: fs::FileType) -> Result<(), FileError> {
    Err(FileError::NotRegular(match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no mknodat")]
    fn only_regular_files_are_opened() {
        let dir = std::env::temp_dir().join(format!("dormouse-regular-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("file"), "text").unwrap();
        symlink("file", dir.join("link")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.join("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        let _socket = UnixListener::bind(dir.join("socket")).unwrap();
        assert_eq!(read_at_most(&dir.join("file"), 3).unwrap(), b"tex");
        assert_eq!(read_at_most(&dir.join("link"), 9).unwrap(), b"text");
        for (path, kind) in [
            (dir.join("pipe"), "a pipe, not a regular file"),
            (dir.join("socket"), "a socket, not a regular file"),
            (dir.clone(), "a directory, not a regular file"),
            ("/dev/zero".into(), "a device, not a regular file"),
        ] {
            assert_eq!(read_at_most(&path, 9).unwrap_err().to_string(), kind);
        }
        assert!(matches!(read_at_most(&dir.join("none"), 9), Err(FileError::System(_))));
        fs::remove_dir_all(dir).unwrap();
    }
}
