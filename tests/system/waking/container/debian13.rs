//! The files of a Debian 13, made once and kept beside what cargo builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use dormouse_tests::failure::Doing;
use dormouse_tests::{Failure, Result};

/// Where they are; made first where they are not, which takes half a minute and 300 MB.
///
/// # Errors
/// When they cannot be made.
pub(crate) fn tree() -> Result<PathBuf> {
    let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-13");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("system/waking/container/debian-13.sh");
    let output = Command::new(&script).arg(&tree).output().doing(|| format!("run {}", script.display()))?;
    if output.status.success() {
        return Ok(tree);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) {
        return Err(Failure::missing("what makes a Debian 13", said.trim()));
    }
    Err(Failure::Unexpected(format!("{}: {} {said}", script.display(), output.status)))
}
