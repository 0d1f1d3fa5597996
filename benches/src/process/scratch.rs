//! A place for files that leaves nothing behind.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::error::{Doing, Result};

/// A folder for sockets, configurations and logs, gone with this value.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    const PREFIX: &str = "dormouse-bench-";

    /// Makes the folder, and removes those of runs that were killed.
    pub(crate) fn new() -> Result<Self> {
        let parent = env::temp_dir();
        for entry in fs::read_dir(&parent).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(pid) = name.strip_prefix(Self::PREFIX) else { continue };
            if !Path::new("/proc").join(pid).exists() {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let path = parent.join(format!("{}{}", Self::PREFIX, std::process::id()));
        fs::create_dir(&path).doing(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
