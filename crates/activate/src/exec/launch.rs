//! What a guard is started with, by dormouse or by the spawner.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Exec;
use super::notify_socket;
use super::protocol::{GuardArguments, guard_environment};
use crate::process::environment;
use crate::spawner::Startable;

/// The program of the guard: this version of dormouse, even if another one was installed meanwhile.
const OWN_PROGRAM: &str = "/proc/self/exe";

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Sets the program of the guard, for tests. The first call counts.
pub(super) fn set_program(program: PathBuf) {
    let _ = PROGRAM.set(program);
}

/// A guard and its program, for one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GuardLaunch {
    service: String,
    exec: Exec,
    stop_timeout: Duration,
    /// The directory of the notification socket.
    notify_directory: Option<PathBuf>,
    /// The identifier of this run, unique among all processes.
    run_id: String,
}

impl GuardLaunch {
    /// Describes a new run of a program.
    pub(super) fn new(
        service: &str,
        exec: &Exec,
        stop_timeout: Duration,
        notify_directory: Option<&Path>,
    ) -> Self {
        Self {
            service: service.to_owned(),
            exec: exec.clone(),
            stop_timeout,
            notify_directory: notify_directory.map(Path::to_owned),
            run_id: new_run_id(),
        }
    }

    /// Returns the name of the service.
    pub(crate) fn service(&self) -> &str {
        &self.service
    }

    /// Returns the program, with its user, directory and variables.
    pub(crate) fn exec(&self) -> &Exec {
        &self.exec
    }

    /// Returns the identifier of this run.
    pub(crate) fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Returns whether the guard removes only what dormouse may have created. It removes the directory of the socket.
    pub(crate) fn removes_its_own(&self) -> bool {
        self.notify_directory.as_deref().is_none_or(notify_socket::is_own)
    }
}

impl Startable for GuardLaunch {
    const KIND: &'static str = "guard";
    const LEADS_GROUP: bool = false;

    fn command(&self) -> Command {
        let exec = &self.exec;
        let mut environment = environment(&self.service);
        let account = exec.account();
        if let Some(account) = account {
            account.describe_in(&mut environment);
        }
        let socket = self.notify_directory.as_deref().map(notify_socket::path_in);
        environment.extend(socket.map(|path| ("NOTIFY_SOCKET".into(), path.into())));
        environment.extend(exec.environment.iter().cloned());
        let arguments = GuardArguments {
            service: self.service.clone(),
            stop_timeout: self.stop_timeout,
            descriptor_limit: dormouse_sys::fd_limit::inherited(),
            identity: account.map(|account| account.identity.clone()),
            notify_directory: self.notify_directory.clone(),
            confinement: exec.sandbox.confinement(exec.directory.as_deref()),
            argv: exec.argv.clone(),
        };
        let mut command = Command::new(PROGRAM.get().map_or(OWN_PROGRAM.as_ref(), PathBuf::as_path));
        command.arg0("dormouse").arg("guard").args(arguments.to_words());
        command.env_clear().envs(guard_environment(environment, &self.run_id));
        if let Some(directory) = &exec.directory {
            command.current_dir(directory);
        }
        command
    }
}

/// Returns an identifier for one run of one program.
fn new_run_id() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{number}-{:x}", std::process::id(), now.as_nanos())
}
