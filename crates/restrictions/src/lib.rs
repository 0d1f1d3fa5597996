//! The restrictions that `dormouse run` puts on itself before it serves: the directories of the configuration (Landlock),
//! no system call that it never makes (seccomp), no capability that the configuration does not need, and no core dumps.
//!
//! All threads have them, and they never end. Programs come from the spawner, which is started before and is not
//! restricted.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod capabilities;
mod files;
mod needs;
mod system_calls;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use dormouse_activate::exec::prepare_notify_directory;
use dormouse_activate::{Changeable, Program, command_line, start_spawner};
use dormouse_config::model::Config;
use dormouse_log::{Level, write_stderr_lines};
use dormouse_sys::capabilities::keep;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::needs::Needs;

/// The restrictions that are in force.
#[derive(Debug, Clone)]
pub struct Restrictions {
    /// What the configuration needed at the start.
    granted: Needs,
    /// The directories among that which existed, each with its device and inode: a directory that is made again is another
    /// one.
    directories: BTreeMap<PathBuf, (u64, u64)>,
    /// Whether the kernel restricts files.
    restricts_files: bool,
    /// The file of the configuration; `None` is the default one.
    file: Option<PathBuf>,
}

/// Something that a configuration needs and the restrictions do not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NeedsRestart {
    /// A directory of a socket or of the configuration.
    Directory(PathBuf),
    /// A program of this server.
    Program(String, Program),
    /// A look into other processes.
    Processes,
    /// The mode or the owner of a socket.
    Permissions,
    /// This capability.
    Capability(&'static str),
}

impl std::fmt::Display for NeedsRestart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(path) => write!(
                f,
                "{}: needs a restart, because dormouse has restricted itself to the directories of the configuration",
                path.display()
            )?,
            Self::Program(server, program) => write!(
                f,
                "{server}: to start {} needs a restart, because dormouse has restricted itself to the programs, users, \
                 directories and variables of the configuration",
                command_line(program.argv())
            )?,
            Self::Processes => f.write_str(
                "the first service that starts a workload needs a restart, because dormouse has given up the right to look \
                 into other processes with the configuration",
            )?,
            Self::Permissions => f.write_str(
                "a mode, an owner or a group of a UNIX socket needs a restart, because dormouse has given up the right to \
                 set others than those of the configuration",
            )?,
            Self::Capability(name) => write!(
                f,
                "{name} is needed, which needs a restart, because dormouse has given up the capabilities that it did not need for \
                 the configuration"
            )?,
        }
        f.write_str(" with which it started (restrict_self = false switches this off)")
    }
}

impl Restrictions {
    /// Starts the spawner if it is needed, and then restricts all threads of this process. The configuration may be in
    /// this file, which is read again. What the kernel does not support is left out, with a line in the log.
    ///
    /// # Errors
    /// When the spawner cannot be started.
    pub fn enter(config: &Config, file: Option<&Path>) -> Result<Self, String> {
        if needs::notifies(config) {
            prepare_notify_directory();
        }
        let granted = Needs::of(config, file);
        if granted.spawner() {
            start_spawner(&granted.grant()).map_err(|error| format!("cannot start the spawner: {error}"))?;
        }
        // What this process holds of its clients stays out of files. The spawner keeps its limit for what it starts.
        let maximum = getrlimit(Resource::Core).maximum;
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
        let restricted = files::restrict(&granted.readable, &granted.writable);
        let restricts_files = match &restricted {
            Ok(()) => true,
            Err(reason) => {
                let message = format!("Files are not restricted: {reason} (landlock(7))");
                write_stderr_lines(Some(Level::Info), [message]);
                false
            }
        };
        if let Err(error) = keep(granted.capabilities) {
            let message = format!("No capability is given up: {error} (capset(2))");
            write_stderr_lines(Some(Level::Info), [message]);
        }
        if let Err(error) = system_calls::restrict() {
            let message = format!("System calls are not restricted: {error} (seccomp(2))");
            write_stderr_lines(Some(Level::Info), [message]);
        }
        Ok(Self::of(granted, restricts_files, file))
    }

    fn of(granted: Needs, restricts_files: bool, file: Option<&Path>) -> Self {
        let all = granted.readable.iter().chain(&granted.writable);
        let directories = all.filter_map(|path| Some((path.clone(), identity(path)?))).collect();
        Self { granted, directories, restricts_files, file: file.map(Path::to_owned) }
    }

    /// Returns whether the files of the configuration may be read again.
    ///
    /// # Errors
    /// A directory to which they were moved.
    pub fn allows_files(&self) -> Result<(), NeedsRestart> {
        self.allows_directories(&needs::of_files(self.file.as_deref()), &self.granted.readable)
    }

    /// Returns whether a new configuration needs nothing beyond the restrictions.
    ///
    /// # Errors
    /// What it needs.
    pub fn allows(&self, config: &Config) -> Result<(), NeedsRestart> {
        let needs = Needs::of(config, self.file.as_deref());
        self.allows_directories(&needs.writable, &self.granted.writable)?;
        if let Some((server, program)) = needs.programs.beyond(&self.granted.programs) {
            return Err(NeedsRestart::Program(server.to_owned(), program.clone()));
        }
        let settable = if self.granted.spawner() {
            !needs.changes || is_covered(&needs.changeable, &self.granted.changeable)
        } else {
            !needs::sets_permissions(config)
        };
        if !settable {
            return Err(NeedsRestart::Permissions);
        }
        if needs.looks_or_starts() && !self.granted.spawner() {
            return Err(NeedsRestart::Processes);
        }
        if let Some(name) = capabilities::missing(needs.capabilities, self.granted.capabilities) {
            return Err(NeedsRestart::Capability(name));
        }
        Ok(())
    }

    fn allows_directories(
        &self,
        needed: &BTreeSet<PathBuf>,
        granted: &BTreeSet<PathBuf>,
    ) -> Result<(), NeedsRestart> {
        if !self.restricts_files {
            return Ok(());
        }
        let is_granted = |ancestor: &Path| {
            granted.contains(ancestor) && self.directories.get(ancestor).copied() == identity(ancestor)
        };
        let inside = |directory: &PathBuf| directory.ancestors().any(is_granted);
        match needed.iter().find(|directory| !inside(directory)) {
            Some(directory) => Err(NeedsRestart::Directory(directory.clone())),
            None => Ok(()),
        }
    }
}

/// Returns whether the spawner may set all modes and owners that are needed.
fn is_covered(needed: &Changeable, granted: &Changeable) -> bool {
    needed.directories.is_subset(&granted.directories)
        && needed.users.is_subset(&granted.users)
        && needed.groups.is_subset(&granted.groups)
}

/// Returns the device and the inode of a directory.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests;
