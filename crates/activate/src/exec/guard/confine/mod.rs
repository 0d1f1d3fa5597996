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
mod system_calls;

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};

use dormouse_sys::identity::Identity;
use dormouse_sys::keyring::own_session;
use dormouse_sys::namespaces::{own_ipc, own_mounts, own_users_and_mounts};
use dormouse_sys::spawn::spawn_prepared;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::{Resource, Rlimit, geteuid, setrlimit};

pub(in super::super) use self::files::unrestricted;
use self::files::{OwnDirectory, Reachable, Unrestricted};
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

/// The directories that belong to the program.
struct OwnDirectories {
    working: Option<OwnDirectory>,
    /// That of its UNIX socket.
    socket: Option<OwnDirectory>,
    /// That of its notification socket, which it only reads.
    notify: Option<OwnDirectory>,
}

impl OwnDirectories {
    fn writable(&self) -> impl Iterator<Item = &OwnDirectory> {
        self.working.iter().chain(&self.socket)
    }

    fn all(&self) -> impl Iterator<Item = &OwnDirectory> {
        self.writable().chain(&self.notify)
    }
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
        let has_mounts = own_mounts();
        // Opened in the mounts of the program: only there they can be shown in a private directory.
        let own = self.open_own()?;
        let root_mounts = has_mounts.map(|()| {
            isolate_ipc(reporter);
            mounts::make_private(own.all())
        });
        privileges::drop_bounding_set();
        if let Some(identity) = &self.identity {
            identity.take().map_err(Refusal::System)?;
        }
        privileges::drop_all();
        // The inherited keyring may hold keys of root. Where there are no keyrings there is nothing to hide.
        let _ = own_session();
        let private = match root_mounts {
            Ok(private) => private,
            Err(_) => self.private_directories_of_user(reporter),
        };
        let mut reachable = Reachable::of(own.writable()).map_err(Refusal::Hole)?;
        match private {
            Ok(private) => reachable.add(&private).map_err(Refusal::Hole)?,
            Err(Failure::Unavailable(reason)) => {
                reporter.missing(&sandbox::no_private_directories(&reason));
            }
            Err(Failure::Half(refusal)) => return Err(refusal),
        }
        self.enter_directory(&own)?;
        self.report_unwritable_socket_directory(reporter);
        privileges::forbid_new()?;
        if self.identity.is_none() {
            // Another user may not do that anyway.
            if let Err(reason) = system_calls::restrict() {
                reporter.missing(&sandbox::no_filter(&reason));
            }
        }
        match reachable.restrict() {
            Ok(None) => {}
            Ok(Some(text)) => reporter.missing(text),
            Err(Unrestricted::Unavailable(reason)) => reporter.missing(&sandbox::no_landlock(&reason)),
            Err(Unrestricted::NoDescriptors(reason)) => return Err(Refusal::Hole(reason)),
        }
        privileges::are_gone()
    }

    /// Opens the directories of the program.
    fn open_own(&self) -> Result<OwnDirectories, Refusal> {
        let user = self.identity.as_ref().map_or_else(|| geteuid().as_raw(), |identity| identity.uid);
        let open = |path: &Option<PathBuf>| {
            let path = path.as_deref().map(|path| OwnDirectory::open(user, path));
            path.transpose().map(Option::flatten).map_err(Refusal::Hole)
        };
        let Confinement { directory, socket_directory } = &self.confinement;
        Ok(OwnDirectories {
            working: open(directory)?,
            socket: open(socket_directory)?,
            notify: open(&self.notify_directory)?,
        })
    }

    /// Makes the private directories without rights over the mounts of the machine, in a user namespace with this one user.
    fn private_directories_of_user(&self, reporter: &Reporter) -> Result<Vec<PathBuf>, Failure> {
        if let Some(reason) = &self.no_user_namespace {
            return Err(Failure::Unavailable(reason.clone()));
        }
        privileges::own_process_files();
        let ids = privileges::Ids::current();
        own_users_and_mounts().map_err(|error| Failure::Unavailable(error.to_string()))?;
        ids.map().map_err(|error| Failure::Half(Refusal::NoUsers(error.to_string())))?;
        isolate_ipc(reporter);
        let private = self.open_own().map_err(Failure::Half).and_then(|own| mounts::make_private(own.all()));
        privileges::drop_bounding_set();
        privileges::drop_all();
        private
    }

    /// Enters the working directory again: by its path, in the mounts of the program. A program that serves the files
    /// there would serve those of another directory, so it is not started without the directory that is configured.
    fn enter_directory(&self, own: &OwnDirectories) -> Result<(), Refusal> {
        if let Some(configured) = &self.confinement.directory {
            let directory = own.working.as_ref().map_or(configured, |directory| &directory.path);
            return std::env::set_current_dir(directory).map_err(|error| {
                Refusal::Hole(sandbox::no_directory(geteuid().as_raw(), configured, &error))
            });
        }
        // That of dormouse, which may be hidden from the program, or closed to its user.
        let directory = std::env::current_dir().map_err(Refusal::System)?;
        std::env::set_current_dir(&directory).map_err(|error| {
            Refusal::Hole(sandbox::no_working_directory(geteuid().as_raw(), &directory, &error))
        })
    }

    fn report_unwritable_socket_directory(&self, reporter: &Reporter) {
        let Some(directory) = &self.confinement.socket_directory else { return };
        if accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_err() {
            reporter.missing(&sandbox::no_socket(geteuid().as_raw(), directory));
        }
    }
}

/// Gives the program System V IPC and POSIX message queues of its own, which end with its last process. Needs the rights that
/// mounts need.
fn isolate_ipc(reporter: &Reporter) {
    if let Err(error) = own_ipc() {
        reporter.missing(&sandbox::no_own_ipc(&error.to_string()));
    }
}
