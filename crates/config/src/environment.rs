//! The properties of a process that change the meaning of a configuration.

use std::path::Path;

/// The properties of the process that change the meaning of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Environment {
    /// Whether units without `wake.manager` belong to the system's service manager, not to that of a user.
    pub system_units: bool,
    /// The user of a program of `exec` for which no user is configured.
    pub programs: ProgramUser,
}

/// The user of a program for which no user is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramUser {
    /// Root: this process starts the programs.
    Root,
    /// Root, if another process that starts the programs runs as this one does.
    PerhapsRoot,
    /// Another user.
    Other,
}

impl Environment {
    /// The environment of a system service.
    pub const SYSTEM: Self = Self { system_units: true, programs: ProgramUser::Other };

    /// Returns the environment of a process that runs later as this one does.
    pub fn of_later_process() -> Self {
        let current = Self::current();
        match current.programs {
            ProgramUser::Root => Self { programs: ProgramUser::PerhapsRoot, ..current },
            ProgramUser::PerhapsRoot | ProgramUser::Other => current,
        }
    }

    /// Returns the environment of this process. Only a user with a runtime directory has a service manager.
    pub fn current() -> Self {
        let user = rustix::process::geteuid();
        let runtime_directory = || {
            std::env::var_os("XDG_RUNTIME_DIR").is_some()
                || Path::new("/run/user").join(user.as_raw().to_string()).exists()
        };
        let programs = if user.is_root() { ProgramUser::Root } else { ProgramUser::Other };
        Self { system_units: user.is_root() || !runtime_directory(), programs }
    }
}
