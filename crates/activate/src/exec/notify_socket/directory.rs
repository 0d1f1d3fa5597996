//! The directory of a notification socket: every user may reach the socket in it, and nobody else may replace it.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use rustix::rand::{GetRandomFlags, getrandom};

/// The name of the socket.
pub(super) const SOCKET: &str = "socket";
/// The prefix of the names of the directories. A random number follows.
const PREFIX: &str = "dormouse-notify-";
/// The directory that root uses without a runtime directory.
const OF_ROOT: &str = "/run";
/// The directory that other users use without a runtime directory.
const TEMPORARY: &str = "/tmp";

/// The user ID of users without one in this user namespace (`kernel.overflowuid`).
const UNMAPPED: u32 = 65_534;

/// Creates a directory with a name that nobody can know before, which other users can reach if they must.
pub(super) fn create(for_others: bool) -> io::Result<PathBuf> {
    let mut tried = Err(io::ErrorKind::NotFound.into());
    for base in bases() {
        tried = create_in(&base, for_others);
        if tried.is_ok() {
            break;
        }
    }
    tried
}

/// Removes a directory and its socket.
pub(in super::super) fn remove(directory: &Path) {
    let _ = fs::remove_file(directory.join(SOCKET));
    let _ = fs::remove_dir(directory);
}

/// Returns whether a directory has the name of one that [`create`] has created.
pub(in super::super) fn is_own(directory: &Path) -> bool {
    let name = directory.file_name().and_then(|name| name.to_str());
    let number = name.and_then(|name| name.strip_prefix(PREFIX)).unwrap_or_default();
    number.len() == 32 && number.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the directories in which those of notification sockets may be, in the order in which they are tried.
#[must_use]
pub fn bases() -> Vec<PathBuf> {
    let root = geteuid().is_root();
    // The temporary directory of root's environment may be anybody's.
    let variables: &[&str] =
        if root { &["RUNTIME_DIRECTORY"] } else { &["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"] };
    let mut bases: Vec<PathBuf> = variables
        .iter()
        .filter_map(std::env::var_os)
        // Several runtime directories are separated by colons. Any of them is suitable.
        .filter_map(|value| value.to_str()?.split(':').next().map(PathBuf::from))
        .filter(|base| base.is_absolute())
        .collect();
    bases.extend(root.then(|| OF_ROOT.into()));
    bases.push(TEMPORARY.into());
    bases
}

fn create_in(base: &Path, for_others: bool) -> io::Result<PathBuf> {
    let base = fs::canonicalize(base)?;
    for directory in base.ancestors() {
        if let Some(reason) = unsuitable(&fs::metadata(directory)?, for_others) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} {reason}", directory.display()),
            ));
        }
    }
    let mut number = [0; 16];
    getrandom(&mut number, GetRandomFlags::empty())?;
    let path = base.join(format!("{PREFIX}{:032x}", u128::from_ne_bytes(number)));
    DirBuilder::new().mode(0o700).create(&path)?;
    // The mode of the creation is subject to the umask.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o711)).inspect_err(|_| remove(&path))?;
    Ok(path)
}

/// Returns why a directory is not suitable as one above the socket's directory.
fn unsuitable(directory: &Metadata, for_others: bool) -> Option<&'static str> {
    const WRITABLE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let (owner, mode) = (directory.uid(), directory.mode());
    let user = geteuid().as_raw();
    if owner != 0 && owner != user && !(owner == UNMAPPED && in_user_namespace()) {
        return Some("belongs to another user");
    }
    if mode & WRITABLE != 0 && mode & STICKY == 0 {
        return Some("may be changed by other users");
    }
    if for_others && mode & 0o001 == 0 {
        return Some("may be entered by no other user");
    }
    None
}

/// Returns whether the user IDs are not those of the machine. The files of its root then seem to belong to [`UNMAPPED`].
fn in_user_namespace() -> bool {
    let whole = |map: String| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !whole(map))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_tests::temp::TempDir;

    #[test]
    fn a_directory_that_others_may_change_is_refused() {
        let base = TempDir::new().unwrap();
        let set = |mode| fs::set_permissions(base.path(), fs::Permissions::from_mode(mode)).unwrap();
        for (mode, suitable) in [(0o755, true), (0o1777, true), (0o777, false), (0o775, false)] {
            set(mode);
            let created = create_in(base.path(), true);
            assert_eq!(created.is_ok(), suitable, "{mode:o}: {created:?}");
        }
        set(0o700);
        assert!(create_in(base.path(), true).is_err() && create_in(base.path(), false).is_ok());
        set(0o755);
    }

    #[test]
    fn names_differ() {
        let base = TempDir::new().unwrap();
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let name = || create_in(base.path(), false).unwrap();
        let first = name();
        assert!(is_own(&first));
        assert_ne!(first, name());
        for other in ["/run/dormouse-notify-1", "/run/postgresql", "/", "/run/dormouse-notify-/.."] {
            assert!(!is_own(other.as_ref()), "{other}");
        }
    }
}
