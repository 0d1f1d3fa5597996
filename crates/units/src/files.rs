//! What the user of the unit may do with files and directories that exist now.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The permissions of a file, and who has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Permissions {
    pub(super) mode: u32,
    pub(super) user: u32,
    pub(super) group: u32,
}

/// A view of the file system for the user of the unit.
pub(super) struct Files {
    /// The user of the unit, if it exists.
    pub(super) user: Option<u32>,
    /// The group of the unit, if it exists.
    pub(super) group: Option<u32>,
    /// Returns the permissions of a file; `None` if it does not exist or is hidden from this process.
    pub(super) look: fn(&Path) -> Option<Permissions>,
}

/// Whether the user of the unit may use a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    /// It may.
    Given,
    /// It may as a member of this group.
    Group(u32),
    /// Only other users may.
    Denied,
    /// The file does not exist, or is hidden from this process.
    Unknown,
}

/// The permission to write, and with it to connect to a socket.
const WRITE: u32 = 0o2;
/// The permission to search a directory.
const SEARCH: u32 = 0o1;

impl Files {
    /// The file system of this machine.
    pub(super) fn system() -> Self {
        let look = |path: &Path| {
            let found = fs::metadata(path).ok()?;
            Some(Permissions { mode: found.mode(), user: found.uid(), group: found.gid() })
        };
        let user = dormouse_sys::users::user_id(super::USER).ok().flatten();
        let group = dormouse_sys::users::group_id(super::USER).ok().flatten();
        Self { user, group, look }
    }

    /// Returns whether the user of the unit may connect to a socket.
    pub(super) fn connect(&self, socket: &Path) -> Access {
        let Some(permissions) = (self.look)(socket) else { return Access::Unknown };
        let directories = socket.ancestors().skip(1).filter_map(self.look);
        let mut access = self.access(permissions, WRITE);
        for directory in directories {
            match (self.access(directory, SEARCH), &access) {
                (Access::Given | Access::Unknown, _) => {}
                (Access::Group(group), Access::Given) => access = Access::Group(group),
                (Access::Group(group), Access::Group(other)) if group == *other => {}
                (Access::Group(_) | Access::Denied, _) => return Access::Denied,
            }
        }
        access
    }

    /// Returns whether a directory belongs to the user of the unit, or does not exist.
    pub(super) fn is_own_or_missing(&self, directory: &Path) -> bool {
        (self.look)(directory).is_none_or(|found| Some(found.user) == self.user)
    }

    fn access(&self, Permissions { mode, user, group }: Permissions, bit: u32) -> Access {
        const ROOT: u32 = 0;
        let (of_user, of_group, of_others) = (mode >> 6 & bit, mode >> 3 & bit, mode & bit);
        if Some(user) == self.user {
            return if of_user == 0 { Access::Denied } else { Access::Given };
        }
        if Some(group) == self.group && of_group != 0 || of_others != 0 {
            Access::Given
        } else if of_group != 0 && group != ROOT {
            Access::Group(group)
        } else {
            Access::Denied
        }
    }
}

/// Returns the name of a group, or its id as text if it has none in /etc/group.
pub(super) fn group_name(id: u32) -> String {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let number = id.to_string();
    let found = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    found.unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(look: fn(&Path) -> Option<Permissions>) -> Files {
        Files { user: Some(900), group: Some(901), look }
    }

    #[test]
    fn a_socket_in_a_private_directory_is_not_reachable() {
        let open = files(|_| Some(Permissions { mode: 0o777, user: 0, group: 0 }));
        assert_eq!(open.connect(Path::new("/run/a/s")), Access::Given);
        let private = files(|path| {
            let mode = if path.ends_with("a") { 0o700 } else { 0o777 };
            Some(Permissions { mode, user: 0, group: 0 })
        });
        assert_eq!(private.connect(Path::new("/run/a/s")), Access::Denied);
        let missing = files(|_| None);
        assert_eq!(missing.connect(Path::new("/run/a/s")), Access::Unknown);
    }

    #[test]
    fn a_group_gives_access_unless_it_is_root() {
        let of = |group| move |mode, user| Permissions { mode, user, group };
        let access = |permissions| files(|_| None).access(permissions, WRITE);
        assert_eq!(access(of(50)(0o660, 0)), Access::Group(50));
        assert_eq!(access(of(901)(0o660, 0)), Access::Given);
        assert_eq!(access(of(0)(0o660, 0)), Access::Denied);
        assert_eq!(access(of(0)(0o600, 900)), Access::Given);
        // The permissions of the owner count, not those of the others.
        assert_eq!(access(of(0)(0o062, 900)), Access::Denied);
        assert_eq!(access(of(50)(0o640, 0)), Access::Denied);
    }

    #[test]
    fn groups_have_names() {
        assert_eq!(group_name(0), "root");
        assert_eq!(group_name(u32::MAX - 7), (u32::MAX - 7).to_string());
    }
}
