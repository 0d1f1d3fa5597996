//! Whether a user may reach and execute a file, judged by its permissions. Nothing is opened or executed. Symbolic links
//! are followed as the kernel follows them for that user.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use dormouse_sys::identity::Identity;
use dormouse_sys::users::user_name;
use rustix::fs::lgetxattr;
use rustix::io::Errno;

/// The largest number of links in a path, as in the kernel.
const MAX_LINKS: usize = 40;
/// The permission to enter a directory, and to execute a file.
const EXECUTE: u32 = 0o1;

/// A directory that a user may not enter, or a file that a user may not execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denied {
    path: PathBuf,
    mode: u32,
    owner: u32,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (mode {:04o}, owner {})",
            self.path.display(),
            self.mode & 0o7777,
            user_name(self.owner)
        )
    }
}

/// Returns what keeps a user from entering a directory, or from executing a file, at this absolute path. `None`: nothing,
/// or that is not known, because a name is missing or hidden from this process.
pub(super) fn denied(user: &Identity, path: &Path) -> Option<Denied> {
    let mut found = PathBuf::from("/");
    let mut names = names_of(path);
    let mut links = 0;
    while let Some(name) = names.pop() {
        // The kernel asks for each directory in which it looks up a name.
        if let Some(denied) = denied_at(user, &found) {
            return Some(denied);
        }
        let next = found.join(&name);
        if name == ".." {
            found.pop();
            continue;
        }
        if !fs::symlink_metadata(&next).ok()?.is_symlink() {
            found = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return None;
        }
        let target = fs::read_link(&next).ok()?;
        if target.is_absolute() {
            found = PathBuf::from("/");
        }
        names.append(&mut names_of(&target));
    }
    denied_at(user, &found)
}

/// Returns the names of a path, the last one first.
fn names_of(path: &Path) -> Vec<OsString> {
    let names =
        path.components().rev().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    names.map(|part| part.as_os_str().to_owned()).collect()
}

/// Judges one file or directory, which is no link.
fn denied_at(user: &Identity, path: &Path) -> Option<Denied> {
    let found = fs::symlink_metadata(path).ok()?;
    let is_denied = !permits(user, &found) && !has_access_list(path);
    is_denied.then(|| Denied { path: path.to_owned(), mode: found.mode(), owner: found.uid() })
}

fn permits(user: &Identity, found: &Metadata) -> bool {
    const ROOT: u32 = 0;
    let mode = found.mode();
    if user.uid == ROOT {
        return found.is_dir() || mode & (EXECUTE << 6 | EXECUTE << 3 | EXECUTE) != 0;
    }
    let is_member = user.gid == found.gid() || user.groups.contains(&found.gid());
    let bit = if user.uid == found.uid() {
        EXECUTE << 6
    } else if is_member {
        EXECUTE << 3
    } else {
        EXECUTE
    };
    mode & bit != 0
}

/// Returns whether an access control list (acl(5)) may give more rights than the mode shows.
fn has_access_list(path: &Path) -> bool {
    let mut few = [0; 4];
    matches!(lgetxattr(path, "system.posix_acl_access", &mut few), Ok(1..) | Err(Errno::RANGE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("dormouse-access-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("open")).unwrap();
            fs::create_dir_all(path.join("private")).unwrap();
            let directory = Self(path.canonicalize().unwrap());
            for (file, mode) in [("open/program", 0o755), ("open/data", 0o644), ("private/program", 0o755)] {
                fs::write(directory.0.join(file), "").unwrap();
                directory.mode(file, mode);
            }
            directory.mode("private", 0o700);
            directory.mode("open", 0o755);
            directory.mode("", 0o755);
            directory
        }

        fn mode(&self, name: &str, mode: u32) {
            fs::set_permissions(self.0.join(name), Permissions::from_mode(mode)).unwrap();
        }

        fn denied(&self, user: &Identity, name: &str) -> Option<PathBuf> {
            let denied = denied(user, &self.0.join(name))?;
            Some(denied.path.strip_prefix(&self.0).unwrap().to_owned())
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// A user who owns nothing.
    fn stranger() -> Identity {
        Identity { uid: 2_000_000_007, gid: 2_000_000_007, groups: Vec::new() }
    }

    #[test]
    fn a_closed_directory_and_a_missing_permission_deny() {
        let directory = Directory::new("modes");
        let denied = |name: &str| directory.denied(&stranger(), name);
        assert_eq!(denied("open/program"), None);
        assert_eq!(denied("open"), None);
        assert_eq!(denied("open/data"), Some("open/data".into()));
        assert_eq!(denied("private"), Some("private".into()));
        assert_eq!(denied("private/program"), Some("private".into()));
        assert_eq!(denied("open/../private/program"), Some("private".into()));
        assert_eq!(denied("open/missing"), None, "what does not exist is not known");
        let root = Identity { uid: 0, gid: 0, groups: vec![0] };
        assert_eq!(directory.denied(&root, "private/program"), None);
        assert_eq!(directory.denied(&root, "open/data"), Some("open/data".into()));
    }

    #[test]
    fn the_owner_and_the_group_count_before_the_others() {
        let directory = Directory::new("group");
        let found = fs::metadata(&directory.0).unwrap();
        let member = Identity { groups: vec![found.gid()], ..stranger() };
        directory.mode("private", 0o710);
        assert_eq!(directory.denied(&member, "private/program"), None);
        directory.mode("private", 0o701);
        assert_eq!(directory.denied(&member, "private/program"), Some("private".into()));
        assert_eq!(directory.denied(&stranger(), "private/program"), None);
    }

    #[test]
    fn links_are_followed_through_each_directory() {
        let directory = Directory::new("links");
        symlink("../private/program", directory.0.join("open/relative")).unwrap();
        symlink(directory.0.join("open/relative"), directory.0.join("absolute")).unwrap();
        symlink("loop", directory.0.join("loop")).unwrap();
        symlink(directory.0.join("open/program"), directory.0.join("private/out")).unwrap();
        for name in ["open/relative", "absolute", "private/out"] {
            assert_eq!(directory.denied(&stranger(), name), Some("private".into()), "{name}");
        }
        assert_eq!(directory.denied(&stranger(), "loop"), None);
        symlink(directory.0.join("open/program"), directory.0.join("good")).unwrap();
        assert_eq!(directory.denied(&stranger(), "good"), None);
    }
}
