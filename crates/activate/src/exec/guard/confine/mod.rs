//! The strict confinement of a program (`sandbox = "strict"`).
//!
//! The process of the program confines itself between fork and exec. The guard has one thread, so its child may do
//! everything there that the guard may. The guard itself stays as it is: it has to signal the program.
//!
//! The order follows from the rights that each step needs. Root makes the mounts before it becomes another user; without
//! root they need a user namespace, which is made as the user that the program has. Landlock comes last, because it
//! forbids mounts.

mod files;
mod mounts;
mod privileges;
mod report;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use dormouse_sys::identity::Identity;
use dormouse_sys::keyring::own_session;
use dormouse_sys::namespaces::{own_mounts, own_users_and_mounts};
use dormouse_sys::spawn::spawn_prepared;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::{Resource, Rlimit, geteuid, setrlimit};

use self::files::Reachable;
pub(in super::super) use self::files::unrestricted;
use self::mounts::Failure;
pub(super) use self::report::Notes;
use self::report::{Reporter, channel};
use super::super::protocol::{Confinement, GuardArguments};
use super::super::sandbox;

/// What the process of a program needs to confine itself.
struct Plan {
    confinement: Confinement,
    identity: Option<Identity>,
    notify_directory: Option<PathBuf>,
    /// Why a user namespace cannot be used here, if an attempt has shown that.
    no_user_namespace: Option<String>,
}

/// Why a program is not started.
enum Refusal {
    /// The kernel refuses what `wake.user` needs, too.
    System(io::Error),
    /// The confinement would have a hole.
    Hole(String),
    /// The process is in a user namespace without users, for this reason, and cannot leave it.
    NoUsers(String),
}

/// Starts a command that confines itself before it executes its program. Returns what it could not have, too.
pub(super) fn spawn(
    command: impl Fn() -> Command,
    confinement: &Confinement,
    arguments: &GuardArguments,
) -> (io::Result<Child>, Notes) {
    let plan = |no_user_namespace| Plan {
        confinement: confinement.clone(),
        identity: arguments.identity.clone(),
        notify_directory: arguments.notify_directory.clone(),
        no_user_namespace,
    };
    let (child, notes) = attempt(command(), plan(None));
    match notes.no_users {
        Some(reason) if child.is_err() => attempt(command(), plan(Some(reason))),
        _ => (child, notes),
    }
}

fn attempt(command: Command, plan: Plan) -> (io::Result<Child>, Notes) {
    let (reporter, reader) = match channel() {
        Ok(ends) => ends,
        Err(error) => return (Err(error), Notes::default()),
    };
    let confine = move || {
        let Err(refusal) = plan.carry_out(&reporter) else { return Ok(()) };
        match refusal {
            Refusal::System(error) => return Err(error),
            Refusal::Hole(reason) => reporter.refused(&reason),
            Refusal::NoUsers(reason) => reporter.no_users(&reason),
        }
        Err(io::ErrorKind::PermissionDenied.into())
    };
    let child = spawn_prepared(command, confine);
    // All ends for writing are closed: the program was executed, or its process has ended.
    (child, reader.read())
}

impl Plan {
    /// Confines this process.
    fn carry_out(&self, reporter: &Reporter) -> Result<(), Refusal> {
        // The limit is only lowered, which is always allowed.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        let mut reachable = Reachable::open(&self.writable());
        let root_mounts = own_mounts().map(|()| self.private_directories());
        privileges::drop_bounding_set();
        if let Some(identity) = &self.identity {
            identity.take().map_err(Refusal::System)?;
        }
        privileges::drop_all();
        // The inherited keyring may hold keys of root. Where there are no keyrings there is nothing to hide.
        let _ = own_session();
        let private = match root_mounts {
            Ok(private) => private,
            Err(_) => self.private_directories_of_user(),
        };
        match private {
            Ok(private) => reachable.add(&private),
            Err(Failure::Unavailable(reason)) => {
                reporter.missing(&sandbox::no_private_directories(&reason));
            }
            Err(Failure::Half(refusal)) => return Err(refusal),
        }
        self.enter_directory()?;
        self.report_unwritable_socket_directory(reporter);
        privileges::forbid_new()?;
        match reachable.restrict() {
            Ok(None) => {}
            Ok(Some(text)) => reporter.missing(text),
            Err(reason) => reporter.missing(&sandbox::no_landlock(&reason)),
        }
        privileges::are_gone()
    }

    /// Returns the directories that the program may change. One inside the other is left out: the program could replace it
    /// by a link, to change another directory in its next run.
    fn writable(&self) -> Vec<&Path> {
        let Confinement { directory, socket_directory } = &self.confinement;
        match (directory.as_deref(), socket_directory.as_deref()) {
            (Some(one), Some(other)) if one.starts_with(other) => vec![other],
            (Some(one), Some(other)) if other.starts_with(one) => vec![one],
            (one, other) => one.into_iter().chain(other).collect(),
        }
    }

    fn private_directories(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut shown = self.writable();
        shown.extend(self.notify_directory.as_deref());
        mounts::make_private(&shown)
    }

    /// Does the same without rights over the mounts of the machine, in a user namespace with this one user.
    fn private_directories_of_user(&self) -> Result<Vec<PathBuf>, Failure> {
        if let Some(reason) = &self.no_user_namespace {
            return Err(Failure::Unavailable(reason.clone()));
        }
        privileges::own_process_files();
        let ids = privileges::Ids::current();
        own_users_and_mounts().map_err(|error| Failure::Unavailable(error.to_string()))?;
        ids.map().map_err(|error| Failure::Half(Refusal::NoUsers(error.to_string())))?;
        let private = self.private_directories();
        privileges::drop_bounding_set();
        privileges::drop_all();
        private
    }

    /// Enters the working directory again: by its path, in the mounts of the program. A program that serves the files
    /// there would serve those of another directory, so it is not started without the directory that is configured.
    fn enter_directory(&self) -> Result<(), Refusal> {
        if let Some(directory) = &self.confinement.directory {
            return std::env::set_current_dir(directory).map_err(|error| {
                Refusal::Hole(sandbox::no_directory(geteuid().as_raw(), directory, &error))
            });
        }
        // That of dormouse is as good as any other, and may be hidden from the program.
        let directory = std::env::current_dir().ok();
        if directory.is_none_or(|directory| std::env::set_current_dir(directory).is_err()) {
            let _ = std::env::set_current_dir("/");
        }
        Ok(())
    }

    fn report_unwritable_socket_directory(&self, reporter: &Reporter) {
        let Some(directory) = &self.confinement.socket_directory else { return };
        if accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_err() {
            reporter.missing(&sandbox::no_socket(geteuid().as_raw(), directory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_inside_another_gets_no_rule_of_its_own() {
        let plan = |directory: &str, socket: &str| {
            let path = |path: &str| (!path.is_empty()).then(|| PathBuf::from(path));
            let confinement = Confinement { directory: path(directory), socket_directory: path(socket) };
            let plan = Plan { confinement, identity: None, notify_directory: None, no_user_namespace: None };
            plan.writable().into_iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(plan("/srv/web/data", "/srv/web"), ["/srv/web"]);
        assert_eq!(plan("/srv/web", "/srv/web/run"), ["/srv/web"]);
        assert_eq!(plan("/srv/web", "/srv/web"), ["/srv/web"]);
        assert_eq!(plan("/srv/web", "/srv/web2"), ["/srv/web", "/srv/web2"]);
        assert_eq!((plan("/a", ""), plan("", "/b")), (vec!["/a".to_owned()], vec!["/b".to_owned()]));
        assert!(plan("", "").is_empty());
    }
}
