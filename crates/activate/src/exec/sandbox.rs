//! The confinement of a program, as it is configured. The guard carries it out.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::protocol::Confinement;

/// The directories that every user may write to. A confined program has private ones (systemd.exec(5), `PrivateTmp=`).
pub const PRIVATE_DIRECTORIES: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// Reported where the program keeps the user of dormouse.
pub(super) const KEEPS_USER: &str = "the program runs as the user of dormouse; a user of its own needs root, or \
                                     CAP_SETUID, CAP_SETGID and CAP_KILL";

/// The report that nothing restricts the files of the program.
pub(super) fn no_landlock(reason: &str) -> String {
    format!("no Landlock ({reason}); the program can write wherever its user can")
}

/// The report that the program can change processes of its user.
pub(super) fn no_filter(reason: &str) -> String {
    format!(
        "no filter of system calls ({reason}); the program can change limits and priorities of dormouse, whose user it has"
    )
}

/// The report that the program shares the directories for temporary files.
pub(super) fn no_private_directories(reason: &str) -> String {
    format!(
        "no private /tmp ({reason}), and no System V IPC of its own; allow user namespaces, or start dormouse as root with CAP_SYS_ADMIN"
    )
}

/// The report that the program cannot create its socket.
pub(super) fn no_socket(user: u32, directory: &Path) -> String {
    let path = directory.display();
    format!("user {user} may not create a socket in {path}; use a directory that belongs to this user alone")
}

/// The report that the program shares the objects of System V IPC and the POSIX message queues.
pub(super) fn no_own_ipc(reason: &str) -> String {
    format!(
        "no System V IPC of its own ({reason}); the program can reach the objects of others, and those that it leaves stay; \
         allow IPC namespaces (RestrictNamespaces=, user.max_ipc_namespaces)"
    )
}

/// The reason why a program is not started that would lack a rule for this path.
pub(super) fn no_descriptors(path: &Path, error: &io::Error, limit: u64) -> String {
    let path = path.display();
    format!("{path}: {error}; the limit is {limit} descriptors; raise it (LimitNOFILE=, ulimit -n)")
}

/// The reason why a program cannot have a directory.
pub(super) fn contains_all(directory: &Path) -> String {
    format!(
        "{} contains all directories, and the program could write to them; use one of its own",
        directory.display()
    )
}

/// The reason why a program is not started whose user may not enter its directory.
pub(super) fn no_directory(user: u32, directory: &Path, error: &io::Error) -> String {
    let path = directory.display();
    format!("user {user} may not enter {path}: {error}; use a directory that belongs to this user alone")
}

/// The reason why a program without a configured directory is not started. In another one, such as `/`, it could serve files
/// that nobody wanted it to serve.
pub(super) fn no_working_directory(user: u32, directory: &Path, error: &io::Error) -> String {
    let path = directory.display();
    format!(
        "user {user} may not enter {path}, the working directory of dormouse: {error}; set wake.directory (--directory) to a \
         directory for the program"
    )
}

/// The confinement of a program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sandbox {
    /// None: the program has the rights of its user.
    #[default]
    None,
    /// Everything that a network service rarely needs is taken away.
    Strict(Strict),
}

/// The strict confinement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Strict {
    /// The user that belongs to this service alone. `None` where the configuration names the user.
    pub own_user: Option<Account>,
    /// The directory of the UNIX socket on which the program listens.
    pub socket_directory: Option<PathBuf>,
}

impl Sandbox {
    /// Returns what the guard needs to know. `directory`: the working directory of the program.
    pub(super) fn confinement(&self, directory: Option<&Path>) -> Option<Confinement> {
        match self {
            Self::None => None,
            Self::Strict(Strict { socket_directory, .. }) => Some(Confinement {
                directory: directory.map(Path::to_owned),
                socket_directory: socket_directory.clone(),
            }),
        }
    }
}

/// The missing parts of a confinement that were reported: each once for all runs of a program.
#[derive(Debug, Default)]
pub(super) struct Reported(BTreeSet<String>);

impl Reported {
    /// Returns whether a text is new, and remembers it.
    pub(super) fn is_new(&mut self, text: &str) -> bool {
        /// There are fewer parts, each with few reasons.
        const MAX: usize = 16;
        self.0.len() < MAX && self.0.insert(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_part_is_reported_once() {
        let mut reported = Reported::default();
        assert!(reported.is_new("a") && reported.is_new("b") && !reported.is_new("a"));
        assert!((0..100).filter(|number| reported.is_new(&number.to_string())).count() < 16);
    }
}
