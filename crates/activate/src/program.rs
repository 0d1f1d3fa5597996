//! The programs that a configuration starts. The spawner receives the list at the start, and starts no
//! other program.

use std::collections::HashMap;
use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use crate::ActivatorConfig;
use crate::command::CommandLaunch;
use crate::exec::{Exec, GuardLaunch};

/// A program that a configuration starts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Program {
    /// A program that a guard watches, with its user, directory, variables and confinement. The name of its service does
    /// not matter, so that a service can get another name.
    Exec(Box<Exec>),
    /// A command.
    Command {
        /// The name of the server, as in the log. A script may act by it.
        service: String,
        /// The program and its arguments.
        argv: Vec<OsString>,
    },
}

impl Program {
    fn exec(exec: &Exec) -> Self {
        // How it reports that it is ready is no question of rights.
        Self::Exec(Box::new(Exec { notify: false, ..exec.clone() }))
    }

    /// Returns the program of a guard.
    pub(crate) fn of_guard(guard: &GuardLaunch) -> Self {
        Self::exec(guard.exec())
    }

    /// Returns the program of a command, as that of one of the servers of its workload.
    pub(crate) fn of_command(server: &str, command: &CommandLaunch) -> Self {
        Self::Command { service: server.to_owned(), argv: command.argv.clone() }
    }

    /// Returns the command line.
    #[must_use]
    pub fn argv(&self) -> &[OsString] {
        match self {
            Self::Exec(exec) => &exec.argv,
            Self::Command { argv, .. } => argv,
        }
    }
}

/// A set of programs, each with the name of a server that it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs(HashMap<Program, String>);

impl Programs {
    /// Returns whether a program is in the set.
    #[must_use]
    pub fn contains(&self, program: &Program) -> bool {
        self.0.contains_key(program)
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns all programs, in any order.
    pub fn iter(&self) -> impl Iterator<Item = &Program> {
        self.0.keys()
    }

    /// Returns a program that is not in the other set, with its server.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Option<(&str, &Program)> {
        let mut missing: Vec<_> = self.0.iter().filter(|(program, _)| !other.contains(program)).collect();
        missing.sort_by_key(|(_, server)| *server);
        missing.first().map(|(program, server)| (server.as_str(), *program))
    }
}

impl FromIterator<(String, Program)> for Programs {
    fn from_iter<T: IntoIterator<Item = (String, Program)>>(programs: T) -> Self {
        Self(programs.into_iter().map(|(server, program)| (program, server)).collect())
    }
}

impl ActivatorConfig {
    /// Returns the programs that this activator starts for the server of this name.
    #[must_use]
    pub fn programs(&self, server: &str) -> Vec<Program> {
        match self {
            Self::Exec(exec) => vec![Program::exec(exec)],
            Self::Command(commands) => commands
                .all()
                .map(|argv| Program::Command { service: server.to_owned(), argv: argv.clone() })
                .collect(),
            Self::Unit(_) | Self::Container(_) | Self::WakeOnLan(_) => Vec::new(),
        }
    }
}
