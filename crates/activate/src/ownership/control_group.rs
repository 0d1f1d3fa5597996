//! Control groups as directories. The number of a group is the inode of its directory.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::PathBuf;

use crate::exec::control_group::directory_of_group;

/// The largest number of groups to read. It bounds the time that a delegated tree may take.
const MAX_GROUPS: usize = 4096;

/// The numbers of control groups.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub(super) known: HashSet<u64>,
    /// There are more groups than [`MAX_GROUPS`].
    pub(super) is_cut_off: bool,
}

impl Numbers {
    /// Adds the numbers of a control group and of all groups below it. None if there is no such group.
    pub(super) fn add(&mut self, path: &str) {
        let Some(top) = directory_of_group(path) else { return };
        let Ok(metadata) = fs::symlink_metadata(&top) else { return };
        self.known.insert(metadata.ino());
        let mut open: Vec<PathBuf> = vec![top];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                if self.known.len() >= MAX_GROUPS {
                    self.is_cut_off = true;
                    return;
                }
                self.known.insert(entry.ino());
                open.push(entry.path());
            }
        }
    }
}

/// Returns whether a group is this one, or one below it. The root group contains everything and is none of a workload.
pub(super) fn is_within(group: &str, top: &str) -> bool {
    let top = top.trim_end_matches('/');
    !top.is_empty() && group.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns the group whose name contains the ID of a container, from the path of a group within it. `None` if no name
/// does: the number of the process belongs to another PID namespace.
pub(super) fn up_to(group: &str, id: &str) -> Option<String> {
    /// The shortest ID that engines show.
    const MIN_ID: usize = 12;
    let begin = group.rfind(id).filter(|_| id.len() >= MIN_ID)?;
    let rest = group.get(begin..)?;
    let end = rest.find('/').unwrap_or(rest.len());
    group.get(..begin + end).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_contains_itself_and_those_below() {
        let unit = "/system.slice/web.service";
        assert!(is_within(unit, unit));
        assert!(is_within("/system.slice/web.service/worker", unit));
        assert!(!is_within("/system.slice/web.service2", unit));
        assert!(!is_within("/system.slice", unit));
        // A user may give a group of his own the name of a unit.
        assert!(!is_within("/user.slice/user-1000.slice/system.slice/web.service", unit));
        for root in ["", "/"] {
            assert!(!is_within(unit, root));
        }
    }

    #[test]
    fn the_group_of_a_container_bears_its_id() {
        let id = "0123456789ab0123456789ab";
        let group = format!("/machine.slice/libpod-{id}.scope");
        assert_eq!(up_to(&format!("{group}/container/init"), id), Some(group.clone()));
        assert_eq!(up_to(&group, id), Some(group.clone()));
        assert_eq!(up_to("/machine.slice/libpod-1.scope", id), None);
        assert_eq!(up_to(&group, "01"), None);
    }

    #[test]
    fn a_group_that_does_not_exist_has_no_number() {
        let mut numbers = Numbers::default();
        numbers.add("/dormouse-test/no-such-group");
        assert!(numbers.known.is_empty() && !numbers.is_cut_off);
    }
}
