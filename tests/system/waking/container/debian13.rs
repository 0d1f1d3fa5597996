//! The root directory of a Debian 13, made once and kept in cargo's target directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use dormouse_tests::failure::Doing;
use dormouse_tests::{Failure, Result};

/// Returns the path of the root directory and makes it if it does not exist (half a minute, 300 MB).
///
/// # Errors
/// When it cannot be made.
pub(crate) fn tree() -> Result<PathBuf> {
    let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-13");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("system/waking/container/debian-13.sh");
    let output = Command::new(&script).arg(&tree).output().doing(|| format!("run {}", script.display()))?;
    if output.status.success() {
        return Ok(tree);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) {
        return Err(Failure::missing("a tool for the Debian 13 root", stderr.trim()));
    }
    Err(Failure::Unexpected(format!("{}: {} {stderr}", script.display(), output.status)))
}
