//! The files that a confined program can reach, by Landlock (landlock(7)): all of them for reading, and few for writing.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};

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

/// The files that the program may change, open, so that no path can mean another one.
pub(super) struct Reachable {
    directories: Vec<PathFd>,
}

impl Reachable {
    /// Opens directories with the rights of dormouse. A missing one cannot be reached.
    pub(super) fn open(directories: &[&Path]) -> Self {
        Self { directories: directories.iter().filter_map(|path| PathFd::new(path).ok()).collect() }
    }

    /// Adds directories.
    pub(super) fn add(&mut self, directories: &[PathBuf]) {
        self.directories.extend(directories.iter().filter_map(|path| PathFd::new(path).ok()));
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
