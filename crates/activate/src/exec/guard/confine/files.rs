//! The files that a confined program can reach, by Landlock (landlock(7)): all of them for reading, and few for writing.

use std::error::Error;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use dormouse_sys::directory::{Directory, DirectoryError};
use dormouse_sys::fd_limit;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};
use rustix::fs::{Access as Permission, AtFlags, Mode, OFlags, accessat, open};
use rustix::io::Errno;

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
    /// Its path as it is configured.
    pub(super) configured: PathBuf,
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
            Err(DirectoryError::System(error)) if is_limit(&error) => {
                return Err(no_descriptors(configured, &error));
            }
            Err(DirectoryError::System(_)) => return Ok(None),
            Err(link @ DirectoryError::ForeignLink { .. }) => return Err(link.to_string()),
        };
        let path = directory
            .real_path()
            .map_err(|error| format!("cannot find {}: {error}", configured.display()))?;
        if path == Path::new("/") {
            return Err(sandbox::contains_all(configured));
        }
        Ok(Some(Self { path, configured: configured.to_owned(), fd: directory.into_fd() }))
    }

    /// Returns whether the user of this process may write to it.
    fn is_writable(&self) -> bool {
        accessat(&self.fd, ".", Permission::WRITE_OK | Permission::EXEC_OK, AtFlags::EACCESS).is_ok()
    }
}

/// What the program may reach, open. A rule that were missing for lack of descriptors would be noticed by nobody.
pub(super) struct Reachable {
    /// The directory of everything, for reading.
    root: OwnedFd,
    /// The directories that the program may change.
    directories: Vec<OwnedFd>,
    devices: Vec<OwnedFd>,
}

/// Why the program is not restricted.
pub(super) enum Unrestricted {
    /// The kernel has no Landlock, for this reason.
    Unavailable(String),
    /// This process has too few descriptors. The program must not be started.
    NoDescriptors(String),
}

impl Reachable {
    /// Takes the directories of the program that its user, which this process has now, may write to. Another one stays as
    /// it is with all that is in it: `/run`, for example.
    ///
    /// # Errors
    /// When there are too few descriptors.
    pub(super) fn of<'a>(own: impl Iterator<Item = &'a OwnDirectory>) -> Result<Self, String> {
        let root = Path::new("/");
        let mut reachable = Self {
            root: open_path(root)?.ok_or_else(|| no_descriptors(root, &Errno::ACCESS.into()))?,
            directories: Vec::new(),
            devices: Vec::new(),
        };
        for directory in own.filter(|directory| directory.is_writable()) {
            let copy = directory.fd.try_clone();
            reachable.directories.push(copy.map_err(|error| no_descriptors(&directory.path, &error))?);
        }
        for device in DEVICES {
            reachable.devices.extend(open_path(Path::new(device))?);
        }
        Ok(reachable)
    }

    /// Adds directories.
    ///
    /// # Errors
    /// When there are too few descriptors.
    pub(super) fn add(&mut self, directories: &[PathBuf]) -> Result<(), String> {
        for path in directories {
            self.directories.extend(open_path(path)?);
        }
        Ok(())
    }

    /// Restricts this process to what it may reach. It can also signal no process outside, and connect to no abstract
    /// socket of one. Returns what an older kernel does not restrict.
    ///
    /// # Errors
    /// Why nothing is restricted.
    pub(super) fn restrict(self) -> Result<Option<&'static str>, Unrestricted> {
        let enforced = self.enforce().map_err(|error| match limit_in(&error) {
            Some(limit) => Unrestricted::NoDescriptors(no_descriptors(Path::new("Landlock"), limit)),
            None => Unrestricted::Unavailable(error.to_string()),
        });
        match enforced? {
            RulesetStatus::FullyEnforced => Ok(None),
            RulesetStatus::PartiallyEnforced => Ok(Some(OLD_KERNEL)),
            RulesetStatus::NotEnforced => Err(Unrestricted::Unavailable(NONE.to_owned())),
        }
    }

    fn enforce(self) -> Result<RulesetStatus, RulesetError> {
        let all = AccessFs::from_all(INTERFACE);
        let mut rules = Ruleset::default().handle_access(all)?.scope(Scope::from_all(INTERFACE))?.create()?;
        rules = rules.add_rule(PathBeneath::new(self.root, AccessFs::from_read(INTERFACE)))?;
        let devices = make_bitflags!(AccessFs::{MakeChar | MakeBlock});
        for directory in self.directories {
            rules = rules.add_rule(PathBeneath::new(directory, all & !devices))?;
        }
        let of_device: BitFlags<AccessFs> =
            make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate | IoctlDev});
        for device in self.devices {
            rules = rules.add_rule(PathBeneath::new(device, of_device))?;
        }
        Ok(rules.restrict_self()?.ruleset)
    }
}

/// Opens a file for a rule. `None`: the program does without it, because it is missing, or not for its user.
///
/// # Errors
/// When there are too few descriptors.
fn open_path(path: &Path) -> Result<Option<OwnedFd>, String> {
    match open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(io::Error::from) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_limit(&error) => Err(no_descriptors(path, &error)),
        Err(_) => Ok(None),
    }
}

/// Returns whether an error comes from a limit of this process or of the machine, not from the file.
fn is_limit(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

/// Returns the error of such a limit that led to this error.
fn limit_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<io::Error>() {
            Some(error) if is_limit(error) => return Some(error),
            _ => cause = error.source(),
        }
    }
    None
}

fn no_descriptors(path: &Path, error: &io::Error) -> String {
    sandbox::no_descriptors(path, error, fd_limit::current())
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
