//! Private directories for temporary files and shared memory. Everything else stays where it is.

use std::ffi::CStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change};

use super::super::super::sandbox::PRIVATE_DIRECTORIES;
use super::Refusal;
use super::files::OwnDirectory;

/// Their limits are those of systemd for such file systems.
const OPTIONS: &CStr = c"mode=1777,size=10%,nr_inodes=400k";

/// Why there are no private directories.
pub(super) enum Failure {
    /// The machine does not allow it, for this reason. Nothing has changed that the program would notice.
    Unavailable(String),
    /// It failed halfway. The program must not be started.
    Half(Refusal),
}

/// Mounts an empty file system on each shared directory, in the mounts of this process alone. Directories below them
/// that the program needs are shown there. Returns the private directories.
pub(super) fn make_private<'a>(
    shown: impl Iterator<Item = &'a OwnDirectory>,
) -> Result<Vec<PathBuf>, Failure> {
    // Mounts of the machine still appear; ours do not spread.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|error| Failure::Unavailable(error.to_string()))?;
    let mut private: Vec<PathBuf> = Vec::new();
    for directory in PRIVATE_DIRECTORIES {
        // One may be a link to another.
        let Ok(path) = fs::canonicalize(directory) else { continue };
        if path.is_dir() && path != Path::new("/") && !private.contains(&path) {
            private.push(path);
        }
    }
    let below =
        |path: &Path| private.iter().any(|directory| path != directory && path.starts_with(directory));
    let shown: Vec<_> = shown.collect();
    let real = shown.iter().map(|directory| (directory.path.as_path(), &directory.fd));
    let mut kept: Vec<_> = real.filter(|(path, _)| below(path)).collect();
    // A link there is hidden, and the program may use its path. In a directory that is shown the link is still there.
    let links = shown.iter().map(|directory| (directory.configured.as_path(), &directory.fd));
    for (path, fd) in links {
        if is_plain(path) && below(path) && !kept.iter().any(|(other, _)| path.starts_with(other)) {
            kept.push((path, fd));
        }
    }
    for (number, path) in private.iter().enumerate() {
        let mounted = mount("tmpfs", path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, OPTIONS);
        match mounted {
            Ok(()) => {}
            Err(error) if number == 0 => return Err(Failure::Unavailable(error.to_string())),
            Err(error) => return Err(half(path, error)),
        }
    }
    for (path, fd) in kept {
        show(path, fd).map_err(|error| half(path, error))?;
    }
    Ok(private)
}

/// Returns whether a path is absolute and contains only names.
fn is_plain(path: &Path) -> bool {
    path.is_absolute() && path.components().skip(1).all(|name| matches!(name, Component::Normal(_)))
}

fn half(path: &Path, error: impl Into<io::Error>) -> Failure {
    Failure::Half(Refusal::Hole(format!("cannot show {}: {}", path.display(), error.into())))
}

/// Mounts a directory at the path that it had before.
fn show(path: &Path, directory: &OwnedFd) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|ancestor| !ancestor.is_dir()).collect();
    for ancestor in missing.into_iter().rev() {
        DirBuilder::new().mode(0o755).create(ancestor)?;
        // The mode of the creation is subject to the umask.
        fs::set_permissions(ancestor, Permissions::from_mode(0o755))?;
    }
    mount_bind_recursive(format!("/proc/self/fd/{}", directory.as_raw_fd()), path)?;
    Ok(())
}
