//! A temporary folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::error::{ErrorContext, Result};

/// A temporary folder for sockets, configurations and logs. Dropping the value removes it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    const PREFIX: &str = "dormouse-bench-";

    /// Creates the folder, and removes the folders of runs that were killed.
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
        fs::create_dir(&path).context(|| format!("create {}", path.display()))?;
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
