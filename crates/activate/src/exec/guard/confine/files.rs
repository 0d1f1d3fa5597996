//! The files that a confined program can reach, by Landlock (landlock(7)): all of them for reading, and few for writing.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use dormouse_sys::directory::{Directory, DirectoryError};
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};
use rustix::fs::{Access as Permission, AtFlags, Mode, OFlags, accessat, open};

use super::super::super::sandbox;

/// The newest interface of the kernel whose restrictions are asked for, of Linux 6.12. An older kernel has a part of them.
const INTERFACE: ABI = ABI::V6;
/// The devices that a program may write to: they belong to nobody.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

const OLD_KERNEL: &str = "Landlock of this kernel is older than Linux 6.12; the program can signal processes of its user, or \
                          truncate its user's files";

/// Why nothing is restricted.
const NONE: &str = "the kernel has none, or a filter of system calls forbids it";

/// Returns the report about what this process cannot restrict, if there is something.
pub(in super::super::super) fn unrestricted() -> Option<String> {
    let required = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if required().handle_access(AccessFs::Execute).is_err() {
        return Some(sandbox::no_landlock(NONE));
    }
    let all = required().handle_access(AccessFs::from_all(INTERFACE));
    let all = all.and_then(|rules| rules.scope(Scope::from_all(INTERFACE)));
    all.is_err().then(|| OLD_KERNEL.to_owned())
}

/// A directory that belongs to the program, open, so that no path can mean another one.
pub(super) struct OwnDirectory {
    /// Its path without links.
    pub(super) path: PathBuf,
    pub(super) fd: OwnedFd,
}

impl OwnDirectory {
    /// Opens a directory with the rights of dormouse, for a program of this user. `None`: it is missing.
    ///
    /// # Errors
    /// Why the program must not have it: it could have chosen another directory in an earlier run, or it contains all.
    pub(super) fn open(user: u32, configured: &Path) -> Result<Option<Self>, String> {
        let directory = match Directory::open_for(user, configured) {
            Ok(directory) => directory,
            Err(DirectoryError::System(_)) => return Ok(None),
            Err(link @ DirectoryError::ForeignLink { .. }) => return Err(link.to_string()),
        };
        let path = directory
            .real_path()
            .map_err(|error| format!("cannot find {}: {error}", configured.display()))?;
        if path == Path::new("/") {
            return Err(sandbox::contains_all(configured));
        }
        Ok(Some(Self { path, fd: directory.into_fd() }))
    }

    /// Returns whether the user of this process may write to it.
    fn is_writable(&self) -> bool {
        accessat(&self.fd, ".", Permission::WRITE_OK | Permission::EXEC_OK, AtFlags::EACCESS).is_ok()
    }
}

/// The directories that the program may change.
pub(super) struct Reachable {
    directories: Vec<OwnedFd>,
}

impl Reachable {
    /// Takes the directories of the program that its user, which this process has now, may write to. Another one stays as
    /// it is with all that is in it: `/run`, for example.
    pub(super) fn of<'a>(own: impl Iterator<Item = &'a OwnDirectory>) -> Self {
        let writable = own.filter(|directory| directory.is_writable());
        Self { directories: writable.filter_map(|directory| directory.fd.try_clone().ok()).collect() }
    }

    /// Adds directories.
    pub(super) fn add(&mut self, directories: &[PathBuf]) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.directories.extend(directories.iter().filter_map(|path| open(path, flags, Mode::empty()).ok()));
    }

    /// Restricts this process to what it may reach. It can also signal no process outside, and connect to no abstract
    /// socket of one. Returns what an older kernel does not restrict.
    ///
    /// # Errors
    /// Why nothing is restricted.
    pub(super) fn restrict(self) -> Result<Option<&'static str>, String> {
        match self.enforce().map_err(|error| error.to_string())? {
            RulesetStatus::FullyEnforced => Ok(None),
            RulesetStatus::PartiallyEnforced => Ok(Some(OLD_KERNEL)),
            RulesetStatus::NotEnforced => Err(NONE.to_owned()),
        }
    }

    fn enforce(self) -> Result<RulesetStatus, RulesetError> {
        let all = AccessFs::from_all(INTERFACE);
        let mut rules = Ruleset::default().handle_access(all)?.scope(Scope::from_all(INTERFACE))?.create()?;
        if let Ok(root) = PathFd::new("/") {
            rules = rules.add_rule(PathBeneath::new(root, AccessFs::from_read(INTERFACE)))?;
        }
        let devices = make_bitflags!(AccessFs::{MakeChar | MakeBlock});
        for directory in self.directories {
            rules = rules.add_rule(PathBeneath::new(directory, all & !devices))?;
        }
        let of_device: BitFlags<AccessFs> =
            make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate | IoctlDev});
        for device in DEVICES.into_iter().filter_map(|path| PathFd::new(path).ok()) {
            rules = rules.add_rule(PathBeneath::new(device, of_device))?;
        }
        Ok(rules.restrict_self()?.ruleset)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// In its next run a program must not get a directory that it has put in the place of its own.
    #[test]
    fn a_link_that_the_program_may_have_placed_is_refused() {
        let top = std::env::temp_dir().join(format!("dormouse-own-directory-{}", std::process::id()));
        fs::create_dir_all(top.join("data")).unwrap();
        let user = rustix::process::geteuid().as_raw();
        let (own, real) =
            (OwnDirectory::open(user, &top.join("data")).unwrap(), fs::canonicalize(&top).unwrap());
        assert_eq!(own.map(|own| own.path), Some(real.join("data")));
        assert!(OwnDirectory::open(user, &top.join("missing")).unwrap().is_none());
        fs::remove_dir(top.join("data")).unwrap();
        symlink("/usr", top.join("data")).unwrap();
        let opened = OwnDirectory::open(64_321, &top.join("data"));
        // A link of this process counts for programs of other users, if this process is root.
        assert!(opened.is_ok() || user != 0);
        if user == 0 {
            rustix::fs::chown(&top, Some(rustix::fs::Uid::from_raw(64_321)), None).unwrap();
            std::os::unix::fs::lchown(top.join("data"), Some(64_321), None).unwrap();
        }
        let as_whom = if user == 0 { 64_321 } else { user };
        let refused = OwnDirectory::open(as_whom, &top.join("data")).err().unwrap_or_default();
        assert!(refused.contains("is a symbolic link of"), "{refused}");
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn the_root_directory_belongs_to_no_program() {
        let user = rustix::process::geteuid().as_raw();
        for path in ["/", "/usr/..", "/proc/self/root"] {
            let refused = OwnDirectory::open(user, Path::new(path)).err().unwrap_or_default();
            assert!(
                refused.contains("contains all directories") || refused.contains("symbolic link"),
                "{path}: {refused}"
            );
        }
    }
}
