//! What this machine does not give to a confined program, as far as it is known before a start.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dormouse_sys::identity::{Identity, may_become_others};
use rustix::process::{getegid, geteuid};

use super::{Exec, Sandbox, guard, sandbox};

/// The settings of the kernel that forbid user namespaces, each with the value that forbids.
const FORBIDS_NAMESPACES: [(&str, &str); 3] = [
    ("user.max_user_namespaces", "0"),
    ("kernel.unprivileged_userns_clone", "0"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1"),
];

impl Exec {
    /// Returns the parts of the confinement that this process could not give to the program, each with the remedy.
    #[must_use]
    pub fn unavailable(&self) -> Vec<String> {
        let Sandbox::Strict(strict) = &self.sandbox else { return Vec::new() };
        let mut all: Vec<String> = self.keeps_user().map(str::to_owned).into_iter().collect();
        all.extend(guard::unrestricted());
        let forbidden = |(name, value): &(&str, &str)| {
            let path = format!("/proc/sys/{}", name.replace('.', "/"));
            fs::read_to_string(path).is_ok_and(|text| text.trim() == *value)
        };
        if let Some((name, value)) =
            FORBIDS_NAMESPACES.iter().find(|one| !may_become_others() && forbidden(one))
        {
            all.push(sandbox::no_private_directories(&format!("{name} is {value}")));
        }
        let identity = self.account().map_or_else(own, |account| account.identity.clone());
        let directory =
            strict.socket_directory.as_deref().filter(|directory| !may_write(&identity, directory));
        all.extend(directory.map(|path| sandbox::no_socket(identity.uid, path)));
        all
    }
}

fn own() -> Identity {
    Identity { uid: geteuid().as_raw(), gid: getegid().as_raw(), groups: Vec::new() }
}

/// Returns whether a user without capabilities may create files in a directory, by its mode. One that is missing may be
/// created with the right owner.
fn may_write(user: &Identity, directory: &Path) -> bool {
    const WRITE: u32 = 0o3;
    let Ok(found) = fs::metadata(directory) else { return true };
    let shift = match found.uid() == user.uid {
        true => 6,
        false if found.gid() == user.gid || user.groups.contains(&found.gid()) => 3,
        false => 0,
    };
    (found.mode() >> shift) & WRITE == WRITE || user.uid == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use dormouse_tests::temp::TempDir;

    #[test]
    fn the_mode_of_a_directory_decides_who_creates_a_socket() {
        let dir = TempDir::new().unwrap();
        let metadata = fs::metadata(dir.path()).unwrap();
        let owner = Identity { uid: metadata.uid(), gid: 1, groups: Vec::new() };
        let member = Identity { uid: 61_234, gid: 1, groups: vec![metadata.gid()] };
        let other = Identity { uid: 61_234, gid: 61_234, groups: Vec::new() };
        for (mode, expected) in
            [(0o700, [true, false, false]), (0o770, [true, true, false]), (0o707, [true, false, true])]
        {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            let found = [&owner, &member, &other].map(|user| may_write(user, dir.path()));
            assert_eq!(found, expected, "{mode:o}");
        }
        assert!(may_write(&other, &dir.join("missing")));
    }
}
