//! A child process of dormouse. Each has a guard process, so that none of its descendants outlives dormouse.
//!
//! ```text
//!  dormouse ─requests, events── guard ── program ── its descendants, in any group or session
//!     └─────────lines of output──────────┴──────────────┘
//! ```

mod account;
pub(crate) mod control_group;
mod foreign;
pub mod guard;
mod handle;
mod launch;
mod notify_socket;
mod own_user;
mod protocol;
mod running;
mod sandbox;
mod sweep;
mod unavailable;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender};

use dormouse_sys::identity::may_become_others;

pub use self::account::{Account, AccountError};
pub(crate) use self::launch::GuardLaunch;
pub(crate) use self::notify_socket::SenderQuestion;
pub(crate) use self::notify_socket::{
    DIRECTORY_MODE as NOTIFY_DIRECTORY_MODE, is_own as is_notify_directory,
};
pub use self::notify_socket::{directories as notify_directories, prepare as prepare_notify_directory};
use self::running::{AfterRun, Running};
use self::sandbox::Reported;
pub use self::sandbox::{PRIVATE_DIRECTORIES, Sandbox, Strict};
pub(crate) use self::sweep::Sweep;
use crate::output::WorkloadLog;
use crate::{ActivationError, ActivatorContext, Event, Operation, Request};

/// A program that dormouse starts as a child process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Exec {
    /// The program and its arguments; never empty.
    pub argv: Vec<OsString>,
    /// Variables to add to the environment of dormouse, which the program inherits without private variables.
    pub environment: Vec<(OsString, OsString)>,
    /// The working directory. `None` is that of dormouse.
    pub directory: Option<PathBuf>,
    /// The user and the groups of the program, as configured. `None` are those of dormouse, or of the sandbox.
    pub user: Option<Account>,
    /// The confinement of the program.
    pub sandbox: Sandbox,
    /// The program sends `READY=1` when it is ready (`NOTIFY_SOCKET`, `sd_notify(3)`).
    pub notify: bool,
}

impl fmt::Display for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.argv.first().map(|program| program.to_string_lossy()).unwrap_or_default())
    }
}

impl Exec {
    /// Returns the user that the program is started as, if it is not that of dormouse.
    #[must_use]
    pub fn account(&self) -> Option<&Account> {
        self.user.as_ref().or_else(|| self.wanted_account().filter(|_| may_become_others()))
    }

    /// Returns the user that the program is to have: that of the configuration, or its own. `None`: that of dormouse.
    #[must_use]
    pub fn wanted_account(&self) -> Option<&Account> {
        self.user.as_ref().or(match &self.sandbox {
            Sandbox::Strict(strict) => strict.own_user.as_ref(),
            Sandbox::None => None,
        })
    }

    /// Returns the report that the program cannot have its own user.
    fn keeps_user(&self) -> Option<&'static str> {
        (self.wanted_account().is_some() && self.account().is_none()).then_some(sandbox::KEEPS_USER)
    }
}

/// Sets the program of the guard, for tests. Its `main` calls [`guard::main`] with the arguments after the first two.
/// The first call counts.
#[doc(hidden)]
pub fn set_guard_program(program: PathBuf) {
    launch::set_program(program);
}

/// Carries out requests until the channel of requests is closed.
pub(crate) async fn run(
    exec: Exec,
    context: ActivatorContext,
    mut requests: Receiver<Request>,
    events: Sender<Event>,
) {
    let log = WorkloadLog::new(context.log.clone());
    let mut reported = Reported::default();
    let mut restart = false;
    loop {
        let request = if restart { Some(Request::Start) } else { requests.recv().await };
        restart = false;
        let event = match request {
            Some(Request::Start) => match Running::start(&exec, &context, &log, &events, &mut reported).await
            {
                Ok(running) => match running.drive(&mut requests).await {
                    AfterRun::Wait => continue,
                    AfterRun::Restart => {
                        restart = true;
                        continue;
                    }
                    AfterRun::End => return,
                },
                Err(error) => Event::StartFailed(error),
            },
            Some(Request::Stop) => Event::Stopped,
            Some(Request::Freeze) => {
                Event::FreezeFailed(failure(&exec, Operation::Freeze, "it is not running".to_owned()))
            }
            Some(Request::Thaw) => Event::Thawed,
            None => return,
        };
        let _ = events.send(event).await;
    }
}

fn failure(exec: &Exec, operation: Operation, reason: String) -> ActivationError {
    ActivationError { workload: exec.to_string(), operation, reason }
}
