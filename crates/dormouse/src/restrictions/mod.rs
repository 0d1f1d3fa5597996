//! The restrictions that `dormouse run` puts on itself before it serves: the directories of the configuration (Landlock),
//! no system call that it never makes (seccomp), and no core dumps.
//!
//! All threads have them, and they never end. Programs come from the spawner, which is started before and is not
//! restricted.

mod files;
mod needs;
mod system_calls;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use dormouse_activate::exec::prepare_notify_directory;
use dormouse_activate::{Changeable, Program, command_line, start_spawner};
use dormouse_config::model::{Config, Control};
use dormouse_log::{Level, write_stderr_lines};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::needs::Needs;
use crate::admin::usual_address;

/// The restrictions that are in force.
#[derive(Debug, Clone)]
pub(crate) struct Restrictions {
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
pub(crate) enum NeedsRestart {
    /// A directory of a socket or of the configuration.
    Directory(PathBuf),
    /// A program of this server.
    Program(String, Program),
    /// A look into other processes.
    Processes,
    /// The mode or the owner of a socket.
    Permissions,
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
    pub(crate) fn enter(config: &Config, file: Option<&Path>) -> Result<Self, String> {
        if config.admin.control == Control::Usual {
            // It creates the directory of the control socket if that is missing, which the restrictions would prevent.
            let _ = usual_address();
        }
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
    pub(crate) fn allows_files(&self) -> Result<(), NeedsRestart> {
        self.allows_directories(&needs::of_files(self.file.as_deref()), &self.granted.readable)
    }

    /// Returns whether a new configuration needs nothing beyond the restrictions.
    ///
    /// # Errors
    /// What it needs.
    pub(crate) fn allows(&self, config: &Config) -> Result<(), NeedsRestart> {
        let needs = Needs::of(config, self.file.as_deref());
        self.allows_directories(&needs.writable, &self.granted.writable)?;
        if let Some((server, program)) = needs.programs.beyond(&self.granted.programs) {
            return Err(NeedsRestart::Program(server.to_owned(), program.clone()));
        }
        if needs.changes
            && !(self.granted.spawner() && is_covered(&needs.changeable, &self.granted.changeable))
        {
            return Err(NeedsRestart::Permissions);
        }
        if needs.spawner() && !self.granted.spawner() {
            return Err(NeedsRestart::Processes);
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
mod tests {
    use dormouse_config::{Environment, read, single};

    use super::*;

    fn config(service: &str) -> Config {
        let text = format!("[services.web]\nto = '127.0.0.1:1'\n{service}\n");
        read(&[single(Path::new("d.toml"), &text)], Environment::SYSTEM).result.unwrap()
    }

    fn restrictions(service: &str) -> Restrictions {
        Restrictions::of(Needs::of(&config(service), None), true, None)
    }

    #[test]
    fn a_directory_outside_needs_a_restart() {
        let restrictions = restrictions("listen = '/dev/shm/a.sock'");
        let allows = |restrictions: &Restrictions, listen: &str| {
            restrictions.allows(&config(&format!("listen = '{listen}'")))
        };
        for allowed in ["/dev/shm/b.sock", "127.0.0.1:80", "@a"] {
            assert_eq!(allows(&restrictions, allowed), Ok(()), "{allowed}");
        }
        assert_eq!(allows(&restrictions, "/usr/a.sock"), Err(NeedsRestart::Directory("/usr".into())));
        let unrestricted = Restrictions { restricts_files: false, ..restrictions };
        assert_eq!(allows(&unrestricted, "/usr/a.sock"), Ok(()));
    }

    #[test]
    fn a_directory_that_was_made_again_needs_a_restart() {
        let base = dormouse_tests::temp::TempDir::new().unwrap();
        let path = base.join("sockets").canonicalize().unwrap_or_else(|_| base.join("sockets"));
        std::fs::create_dir(&path).unwrap();
        let service = format!("listen = '{}/a.sock'", path.display());
        let restrictions = restrictions(&service);
        assert_eq!(restrictions.allows(&config(&service)), Ok(()));
        std::fs::rename(&path, base.join("former")).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(
            restrictions.allows(&config(&service)),
            Err(NeedsRestart::Directory(path.canonicalize().unwrap()))
        );
    }

    #[test]
    fn another_program_needs_a_restart() {
        let listen = "listen = '127.0.0.1:2'\n";
        let started = restrictions(&format!("{listen}wake = {{ exec = 'server -x' }}"));
        let allows = |restrictions: &Restrictions, rest: &str| {
            restrictions.allows(&config(&format!("{listen}{rest}")))
        };
        for same in ["wake = { exec = 'server -x' }\nidle = '5min'", "wake = { exec = 'server -x' }", ""] {
            assert_eq!(allows(&started, same), Ok(()), "{same}");
        }
        for other in [
            "wake = { exec = 'server -y' }",
            "wake = { exec = 'server -x', directory = '/' }",
            "wake = { exec = 'server -x', environment = { A = '1' } }",
            "wake = { exec = 'server -x' }\nready = 'command:test -e /x'",
            "wake = { start = 'server -x' }",
        ] {
            let refused = allows(&started, other);
            assert!(matches!(refused, Err(NeedsRestart::Program(..))), "{other}: {refused:?}");
            assert!(refused.unwrap_err().to_string().contains("needs a restart"));
        }
        // A service may get another name. A command has it in a variable, by which a script may act.
        let renamed = |restrictions: &Restrictions, wake: &str| {
            let text = format!("[services.shop]\nto = '127.0.0.1:1'\n{listen}wake = {wake}\n");
            let config = read(&[single(Path::new("d.toml"), &text)], Environment::SYSTEM).result.unwrap();
            restrictions.allows(&config)
        };
        assert_eq!(renamed(&started, "{ exec = 'server -x' }"), Ok(()));
        let command = restrictions(&format!("{listen}wake = {{ start = 'server -x' }}"));
        assert!(matches!(renamed(&command, "{ start = 'server -x' }"), Err(NeedsRestart::Program(..))));
        // The owner of its listener is judged by the spawner, which is there.
        assert_eq!(allows(&started, "wake = { unit = 'web.service' }"), Ok(()));
        assert_eq!(
            allows(&restrictions(listen), "wake = { unit = 'web.service' }"),
            Err(NeedsRestart::Processes)
        );
    }

    /// The spawner sets modes and owners, and learns at the start which.
    #[test]
    fn another_owner_of_a_socket_needs_a_restart() {
        let started = restrictions("listen = '/dev/shm/a.sock?mode=0600&owner=7'");
        let allows = |restrictions: &Restrictions, listen: &str| {
            restrictions.allows(&config(&format!("listen = '{listen}'")))
        };
        for allowed in ["/dev/shm/a.sock?mode=0666", "/dev/shm/b.sock?owner=7", "/dev/shm/a.sock", "@a"] {
            assert_eq!(allows(&started, allowed), Ok(()), "{allowed}");
        }
        for refused in ["/dev/shm/a.sock?owner=8", "/dev/shm/a.sock?group=7"] {
            assert_eq!(allows(&started, refused), Err(NeedsRestart::Permissions), "{refused}");
        }
        let plain = restrictions("listen = '/dev/shm/a.sock'");
        assert_eq!(allows(&plain, "/dev/shm/a.sock?mode=0666"), Err(NeedsRestart::Permissions));
        assert!(NeedsRestart::Permissions.to_string().contains("needs a restart"));
    }

    #[test]
    fn notifications_open_one_directory_and_not_all_of_run_or_tmp() {
        let config = config("listen = '@a'\nwake = { exec = 'a' }\nready = 'notify'");
        prepare_notify_directory();
        let needs = Needs::of(&config, None);
        let notify = needs.changeable.notify.clone().unwrap();
        assert!(notify.to_string_lossy().contains("dormouse-notify-"), "{notify:?}");
        let runtime = std::env::var_os("RUNTIME_DIRECTORY");
        let others = needs.writable.iter().filter(|path| **path != notify).count();
        assert_eq!(others, runtime.iter().flat_map(std::env::split_paths).count(), "{:?}", needs.writable);
        std::fs::remove_dir(notify).unwrap();
    }

    #[test]
    fn a_configuration_without_workloads_needs_no_spawner() {
        for (service, spawner) in [
            ("listen = '@a'", false),
            ("listen = '/dev/shm/a.sock'", false),
            ("listen = '/dev/shm/a.sock?mode=0600'", true),
            ("listen = '@a'\nwake = { wol = '00:00:00:00:00:01' }", false),
            ("listen = '@a'\nwake = { unit = 'web.service' }", true),
            ("listen = '@a'\nwake = { exec = 'a' }", true),
            ("listen = '@a'\nwake = { start = 'a' }", true),
        ] {
            assert_eq!(restrictions(service).granted.spawner(), spawner, "{service}");
        }
    }
}
