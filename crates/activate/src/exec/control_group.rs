//! The control group of one run of a program, below the group of dormouse, where dormouse may create one.
//!
//! The processes of the program are in it from their first instruction: the process joins before it executes the
//! program. No other process is ever moved, because the kernel moves processes by their numbers, which may mean others
//! meanwhile.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::getxattr;
use rustix::process::Pid;

use crate::process::HeldProcess;

/// The extended attributes of a delegated group (`Delegate=`).
const DELEGATED: [&str; 2] = ["user.delegate", "trusted.delegate"];
/// How often to try to remove a group, whose last process may still be ending, at intervals of a millisecond.
const ATTEMPTS: u32 = 50;

/// A control group that was created for the program of a guard.
#[derive(Debug)]
pub(super) struct ControlGroup {
    path: PathBuf,
    /// The name of the directory, unique in the group of dormouse.
    name: String,
}

impl ControlGroup {
    /// Creates the group of a guard; `None` where this process may not, or should not, do so.
    pub(super) fn create(guard: Pid) -> Option<Self> {
        let own = own_group()?;
        if Path::new("/run/systemd/system").exists() && !is_delegated(&own) {
            return None;
        }
        let group = Self::named(&own, guard);
        // An earlier guard with this number may have left an empty one.
        let _ = fs::remove_dir(&group.path);
        fs::create_dir(&group.path).ok()?;
        if group.path.join("cgroup.freeze").exists() {
            return Some(group);
        }
        let _ = fs::remove_dir(&group.path);
        None
    }

    /// Returns the group that a guard has created, if it still exists.
    pub(super) fn of(guard: Pid) -> Option<Self> {
        Some(Self::named(&own_group()?, guard)).filter(|group| group.path.is_dir())
    }

    fn named(own: &Path, guard: Pid) -> Self {
        let name = format!("dormouse-{guard}");
        Self { path: own.join(&name), name }
    }

    /// Opens the list of its members, to which a process writes 0 to join.
    ///
    /// # Errors
    /// When the group was removed, or no descriptors are left.
    pub(super) fn members(&self) -> io::Result<File> {
        File::options().write(true).open(self.path.join("cgroup.procs"))
    }

    /// Returns whether a process is in the group or in a group below it.
    pub(super) fn has_members(&self) -> bool {
        self.has_event("populated 1")
    }

    fn has_event(&self, event: &str) -> bool {
        fs::read_to_string(self.path.join("cgroup.events"))
            .is_ok_and(|events| events.lines().any(|line| line == event))
    }

    /// Freezes or thaws all processes in the group.
    ///
    /// # Errors
    /// When the group was removed, or may not be changed.
    pub(super) fn freeze(&self, on: bool) -> io::Result<()> {
        fs::write(self.path.join("cgroup.freeze"), if on { "1" } else { "0" })
    }

    /// Returns whether all processes in the group are frozen.
    pub(super) fn is_frozen(&self) -> bool {
        self.has_event("frozen 1")
    }

    /// Kills all processes in the group at once. Does nothing before Linux 5.14.
    pub(super) fn kill(&self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
    }

    /// Returns whether a process is in the group or in a group below it, or has been reaped.
    pub(super) fn contains(&self, process: &HeldProcess) -> bool {
        let Some(groups) = process.read("cgroup") else { return true };
        let groups = String::from_utf8_lossy(&groups);
        unified_path(&groups).is_none_or(|path| path.split('/').any(|part| part == self.name))
    }

    /// Removes the empty group.
    pub(super) fn remove(&self) {
        for _ in 0..ATTEMPTS {
            match fs::remove_dir(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                _ => return,
            }
        }
    }
}

/// Returns whether the service manager has delegated a group (`Delegate=`). It owns all other groups.
fn is_delegated(group: &Path) -> bool {
    let marked = |group: &Path| {
        DELEGATED.iter().any(|mark| {
            let mut value = [0; 8];
            getxattr(group, *mark, &mut value).is_ok_and(|length| value.get(..length) == Some(b"1"))
        })
    };
    // With `DelegateSubgroup=` the process is in a subgroup of the delegated group.
    marked(group) || group.parent().is_some_and(marked)
}

/// Returns the directory of the group that this process is in.
fn own_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    directory_of_group(unified_path(&groups)?)
}

/// Returns the directory of the group with this path in the unified hierarchy.
pub(crate) fn directory_of_group(path: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let (root, mounted) = mounts.lines().find_map(cgroup2_mount)?;
    let below = path.strip_prefix(root.trim_end_matches('/'))?;
    Some(Path::new(mounted).join(below.trim_start_matches('/')))
}

/// Returns the path in the unified hierarchy, from the text of /proc/PID/cgroup.
fn unified_path(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Returns the root and the mount point of a cgroup2 mount, from a line of /proc/self/mountinfo.
fn cgroup2_mount(line: &str) -> Option<(&str, &str)> {
    let (mount, kind) = line.split_once(" - ")?;
    if !kind.starts_with("cgroup2 ") {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    Some((fields.next()?, fields.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_and_groups_are_parsed() {
        let line = "42 32 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(cgroup2_mount(line), Some(("/", "/sys/fs/cgroup")));
        assert_eq!(cgroup2_mount("42 32 0:27 / /proc rw - proc proc rw"), None);
        assert_eq!(cgroup2_mount("junk"), None);
        assert_eq!(unified_path("9:name=systemd:/x\n0::/a/b\n"), Some("/a/b"));
        assert_eq!(unified_path("9:name=systemd:/x\n"), None);
    }
}
