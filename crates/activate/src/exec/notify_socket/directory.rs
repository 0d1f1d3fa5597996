//! The directory of a notification socket: every user may reach the socket in it, and nobody else may replace it.
//!
//! A restricted dormouse makes a common directory for them before it restricts itself, so that it needs no rights in /run
//! or /tmp.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use dormouse_sys::identity::may_become_others;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::process::geteuid;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::permissions::set_mode;

/// The name of the socket.
pub(super) const SOCKET: &str = "socket";
/// The prefix of the names of the directories. A random number follows. In the common directory the number is the name: the
/// path of a socket must be short (unix(7)).
const PREFIX: &str = "dormouse-notify-";
/// The mode of the directories: other users can use the names in them that they know.
pub(crate) const MODE: u32 = 0o711;
/// The directory that root uses without a runtime directory.
const OF_ROOT: &str = "/run";
/// The directory that other users use without a runtime directory.
const TEMPORARY: &str = "/tmp";

/// The user ID of users without one in this user namespace (`kernel.overflowuid`).
const UNMAPPED: u32 = 65_534;

/// The directory of the directories of this process, or why there is none.
static COMMON: OnceLock<Result<Common, String>> = OnceLock::new();

#[derive(Debug)]
struct Common {
    path: PathBuf,
    /// systemd-tmpfiles does not remove a locked directory from /tmp, however old it is (tmpfiles.d(5)).
    _locked: Option<OwnedFd>,
}

/// Makes the directory in which those of all notification sockets of this process will be. The first call counts. A
/// failure is reported when the first socket is needed.
pub fn prepare() {
    COMMON.get_or_init(|| {
        let others = geteuid().is_root() || may_become_others();
        // A program with the user of dormouse can do with less.
        let made = create_in_first(others).or_else(|error| {
            if others && !geteuid().is_root() { create_in_first(false) } else { Err(error) }
        });
        let path = made.map_err(|error| error.to_string())?;
        let locked = open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok();
        let locked = locked.filter(|fd| flock(fd, FlockOperation::NonBlockingLockExclusive).is_ok());
        Ok(Common { path, _locked: locked })
    });
}

/// Returns the directories in which those of notification sockets may be: the common one, if it was made.
#[must_use]
pub fn directories() -> Vec<PathBuf> {
    match COMMON.get() {
        Some(Ok(common)) => vec![common.path.clone()],
        Some(Err(_)) => Vec::new(),
        None => bases(),
    }
}

/// Creates a directory with a name that nobody can know before, which other users can reach if they must.
pub(super) fn create(for_others: bool) -> io::Result<PathBuf> {
    match COMMON.get() {
        Some(Ok(common)) => create_in(&common.path, "", for_others),
        Some(Err(reason)) => Err(io::Error::other(reason.as_str())),
        None => create_in_first(for_others),
    }
}

/// Creates a directory in the first place that is suitable.
fn create_in_first(for_others: bool) -> io::Result<PathBuf> {
    let mut tried = Err(io::ErrorKind::NotFound.into());
    for base in bases() {
        tried = create_in(&base, PREFIX, for_others);
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

/// Removes the common directory of a directory after the end of dormouse, if nothing is left in it.
pub(in super::super) fn remove_common_of(directory: &Path) {
    if let Some(common) = directory.parent().filter(|above| is_number(above.file_name(), PREFIX)) {
        let _ = fs::remove_dir(common);
    }
}

/// Returns whether a directory has the name of one that [`create`] or [`prepare`] has created.
pub(crate) fn is_own(directory: &Path) -> bool {
    let above = directory.parent().and_then(Path::file_name);
    is_number(directory.file_name(), PREFIX)
        || is_number(directory.file_name(), "") && is_number(above, PREFIX)
}

/// Returns whether a name consists of a prefix and a random number.
fn is_number(name: Option<&OsStr>, prefix: &str) -> bool {
    let number = name.and_then(|name| name.to_str()?.strip_prefix(prefix)).unwrap_or_default();
    number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the directories that are tried, in this order.
fn bases() -> Vec<PathBuf> {
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

fn create_in(base: &Path, prefix: &str, for_others: bool) -> io::Result<PathBuf> {
    let base = fs::canonicalize(base)?;
    for directory in base.ancestors() {
        if let Some(reason) = unsuitable(&fs::metadata(directory)?, for_others) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} {reason}", directory.display()),
            ));
        }
    }
    let mut number = [0; 8];
    getrandom(&mut number, GetRandomFlags::empty())?;
    let path = base.join(format!("{prefix}{:016x}", u64::from_ne_bytes(number)));
    DirBuilder::new().mode(MODE).create(&path)?;
    // The mode of the creation is subject to the umask.
    let opened = open(&path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(io::Error::from).and_then(|fd| set_mode(fd, MODE)).inspect_err(|_| remove(&path))?;
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
    use std::os::unix::fs::PermissionsExt;

    use dormouse_tests::temp::TempDir;

    #[test]
    fn a_directory_that_others_may_change_is_refused() {
        let base = TempDir::new().unwrap();
        let set = |mode| fs::set_permissions(base.path(), fs::Permissions::from_mode(mode)).unwrap();
        for (mode, suitable) in [(0o755, true), (0o1777, true), (0o777, false), (0o775, false)] {
            set(mode);
            let created = create_in(base.path(), PREFIX, true);
            assert_eq!(created.is_ok(), suitable, "{mode:o}: {created:?}");
        }
        set(0o700);
        assert!(
            create_in(base.path(), PREFIX, true).is_err() && create_in(base.path(), PREFIX, false).is_ok()
        );
        set(0o755);
    }

    #[test]
    fn names_differ() {
        let base = TempDir::new().unwrap();
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let name = || create_in(base.path(), PREFIX, false).unwrap();
        let first = name();
        assert!(is_own(&first));
        assert_ne!(first, name());
        assert!(is_own(&create_in(&first, "", false).unwrap()));
        for other in [
            "/run/dormouse-notify-1",
            "/run/postgresql",
            "/",
            "/run/dormouse-notify-/..",
            "/run/0123456789abcdef",
        ] {
            assert!(!is_own(other.as_ref()), "{other}");
        }
    }
}
