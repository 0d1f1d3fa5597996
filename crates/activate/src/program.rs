//! The programs that a configuration starts. The spawner is told them at the start, and starts no others.

use std::collections::HashMap;
use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use crate::ActivatorConfig;
use crate::command::CommandLaunch;
use crate::exec::{Exec, GuardLaunch};

/// A program that a configuration starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// A program that a guard watches, with its user, directory and variables.
    Exec {
        /// The name of the server, as in the log.
        service: String,
        /// The program.
        exec: Exec,
    },
    /// A command.
    Command {
        /// The name of the server, as in the log.
        service: String,
        /// The program and its arguments.
        argv: Vec<OsString>,
    },
}

impl Program {
    fn exec(service: &str, exec: &Exec) -> Self {
        // How it reports that it is ready is no question of rights.
        Self::Exec { service: service.to_owned(), exec: Exec { notify: false, ..exec.clone() } }
    }

    /// Returns the program of a guard.
    pub(crate) fn of_guard(guard: &GuardLaunch) -> Self {
        Self::exec(guard.service(), guard.exec())
    }

    /// Returns the program of a command.
    pub(crate) fn of_command(command: &CommandLaunch) -> Self {
        Self::Command { service: command.service.clone(), argv: command.argv.clone() }
    }

    /// Returns the name of the server, as in the log, and the command line.
    #[must_use]
    pub fn describe(&self) -> (&str, &[OsString]) {
        match self {
            Self::Exec { service, exec } => (service, &exec.argv),
            Self::Command { service, argv } => (service, argv),
        }
    }
}

/// A set of programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs(HashMap<String, Vec<Program>>);

impl Programs {
    /// Returns whether a program is in the set.
    #[must_use]
    pub fn contains(&self, program: &Program) -> bool {
        self.0.get(program.describe().0).is_some_and(|programs| programs.contains(program))
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns all programs, in any order.
    pub fn iter(&self) -> impl Iterator<Item = &Program> {
        self.0.values().flatten()
    }
}

impl FromIterator<Program> for Programs {
    fn from_iter<T: IntoIterator<Item = Program>>(programs: T) -> Self {
        let mut by_service = HashMap::<String, Vec<Program>>::new();
        for program in programs {
            by_service.entry(program.describe().0.to_owned()).or_default().push(program);
        }
        Self(by_service)
    }
}

impl ActivatorConfig {
    /// Returns the programs that this activator starts for the server of this name.
    #[must_use]
    pub fn programs(&self, service: &str) -> Vec<Program> {
        match self {
            Self::Exec(exec) => vec![Program::exec(service, exec)],
            Self::Command(commands) => commands
                .all()
                .map(|argv| Program::Command { service: service.to_owned(), argv: argv.clone() })
                .collect(),
            Self::Unit(_) | Self::Container(_) | Self::WakeOnLan(_) => Vec::new(),
        }
    }
}
