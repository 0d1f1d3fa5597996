//! The user's own commands, for example for a virtual machine, a cloud instance or a script.

mod job;
mod task;

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};

pub(crate) use self::job::CommandLaunch;
use self::job::{CommandEnd, CommandLog, Job};
use crate::{ActivatorContext, Event, Operation, Request};

/// The user's own commands. Each is a program with its arguments, and succeeds when it exits with code 0.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Commands {
    /// Starts the workload.
    pub start: Vec<OsString>,
    /// Stops the workload. Without this command dormouse never stops it.
    pub stop: Option<Vec<OsString>>,
    /// Freezes the workload.
    pub freeze: Option<Vec<OsString>>,
    /// Thaws the workload.
    pub thaw: Option<Vec<OsString>>,
    /// Exits with code 0 while the workload runs, and with another code while it does not.
    pub status: Option<Vec<OsString>>,
}

impl Commands {
    /// Returns all commands.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Vec<OsString>> {
        let Self { start, stop, freeze, thaw, status } = self;
        [start].into_iter().chain(stop).chain(freeze).chain(thaw).chain(status)
    }

    /// Returns whether there is a command for an operation.
    pub(crate) fn has(&self, operation: Operation) -> bool {
        match operation {
            Operation::Start => true,
            Operation::Stop => self.stop.is_some(),
            Operation::Freeze => self.freeze.is_some(),
            Operation::Thaw => self.thaw.is_some(),
            Operation::Run => self.status.is_some(),
        }
    }
}

impl fmt::Display for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.start.first().map(|program| program.to_string_lossy()).unwrap_or_default())
    }
}

/// Returns whether a command exits with code 0 within `limit`. A command that takes longer is killed, also when the
/// caller drops this future.
pub async fn succeeds(argv: &[OsString], context: &ActivatorContext, limit: Duration) -> bool {
    let Ok(mut job) = Job::start(argv, context, None).await else { return false };
    matches!(job.wait_within(limit, context, &mut CommandLog::new(context)).await, CommandEnd::Success)
}

/// Carries out requests until the channel of requests is closed.
pub(crate) async fn run(
    commands: Commands,
    context: ActivatorContext,
    requests: Receiver<Request>,
    events: Sender<Event>,
) {
    task::Task::new(commands, context, requests, events).run().await;
}
