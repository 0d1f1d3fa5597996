//! Temporary directories that are removed at the end of their test.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, io, process};

use crate::Result;
use crate::failure::Doing;

/// A directory with mode 0755 that is removed with its content on drop.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes a new, empty directory with mode 0755 (the program under test may run as another user).
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        Self::below(&env::temp_dir())
    }

    /// Makes a directory in `base`: outside the directories for temporary files, which a confined program does not see.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn below(base: &Path) -> Result<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = base.join(format!("dormouse-test-{}-{number}", process::id()));
            match fs::DirBuilder::new().mode(0o755).create(&path) {
                Ok(()) => {
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                        .doing(|| format!("chmod {}", path.display()))?;
                    return Ok(Self { path });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).doing(|| format!("mkdir {}", path.display())),
            }
        }
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` inside it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A failure cannot be reported from here, and a directory that remains does no harm.
        let _ = fs::remove_dir_all(&self.path);
    }
}
