//! Activators: the tasks that start, stop, freeze and thaw a workload.
//!
//! A workload is a child process, a systemd unit, a container, whatever the user's own commands start, or a machine
//! that a Wake-on-LAN packet wakes. Each activator is one task that receives [`Request`]s and sends [`Event`]s. It makes
//! no decisions: the service decides when to start a workload and when to stop it. [`spawn`] starts the task. The task
//! ends when the channel of requests is closed, and closes the channel of events then.

#![forbid(unsafe_code)]
// These macros panic when the stream cannot be written to.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod command;
pub mod container;
mod error;
pub mod exec;
mod grant;
mod kind;
mod output;
mod ownership;
mod permissions;
mod process;
mod program;
mod run_processes;
mod spawner;
mod spawner_main;
pub mod unit;
pub mod wol;
mod workload_id;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

pub use error::{ActivationError, Operation};
pub use grant::Grant;
pub use kind::{ActivatorConfig, Kind, ListenerRule, Properties, Support};
pub use ownership::{Owner, Verdict};
pub use permissions::{Changeable, set_mode, set_owner};
pub use process::{command_line, reap_adopted};
pub use program::{Program, Programs};
pub use run_processes::RunProcesses;
pub use spawner::{COMMAND as SPAWNER_COMMAND, ended as spawner_ended, start as start_spawner};
pub use spawner_main::main as spawner_main;
pub use workload_id::WorkloadId;

/// What an activator needs from its owner.
#[derive(Clone)]
pub struct ActivatorContext {
    /// The name of the server, in the log and in the environment of started programs (`DORMOUSE_SERVICE`).
    pub name: String,
    /// The time that a stop may take before the activator enforces it, for example by SIGKILL.
    pub stop_timeout: Duration,
    /// A workload that runs already was started by dormouse, before a crash or a restart of dormouse.
    pub started_by_dormouse: bool,
    /// The activator records here where the processes of a run begin.
    pub processes: RunProcesses,
    /// Receives lines for the log of dormouse.
    pub log: LogFn,
}

impl fmt::Debug for ActivatorContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActivatorContext")
            .field("name", &self.name)
            .field("stop_timeout", &self.stop_timeout)
            .finish_non_exhaustive()
    }
}

/// A function that writes one line to the log. It never blocks.
pub type LogFn = Arc<dyn Fn(LogLine<'_>) + Send + Sync>;

/// A line for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLine<'a> {
    /// A line that the started program wrote.
    Output(&'a str),
    /// An event that an administrator wants to know of.
    Notice(&'a str),
    /// A problem that an administrator should look into.
    Warning(&'a str),
}

/// A request to an activator.
///
/// At most one request is in progress, with one exception: [`Request::Stop`] also cancels a start, a freeze or a thaw in
/// progress, and the activator sends no event for the cancelled request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Start the workload. The answer is [`Event::Launched`] or [`Event::StartFailed`].
    Start,
    /// Stop the workload, whether it runs, is frozen, or has ended. The answer is [`Event::Stopped`].
    Stop,
    /// Freeze the workload. The answer is [`Event::Frozen`] or [`Event::FreezeFailed`].
    Freeze,
    /// Thaw the workload. The answer is [`Event::Thawed`].
    Thaw,
}

/// An event of a workload.
#[derive(Debug)]
pub enum Event {
    /// The workload runs, as far as its manager reports. It may not answer clients yet.
    Launched {
        /// The workload was running already, and dormouse had not started it.
        foreign: bool,
    },
    /// The workload reports that it is ready: `READY=1`, a finished start job of a unit, a healthy container.
    Ready,
    /// The start failed, or the workload ended before it was ready.
    StartFailed(ActivationError),
    /// The workload runs without a request: it ran before dormouse, or was started since.
    Running {
        /// Dormouse had not started it. False also for a restart by the workload's manager (`Restart=`).
        foreign: bool,
    },
    /// The workload ended without a request. The error is the reason, if it did not end in good order.
    Exited(Result<(), ActivationError>),
    /// The stop is complete.
    Stopped,
    /// The freeze is complete.
    Frozen,
    /// The freeze failed.
    FreezeFailed(ActivationError),
    /// The thaw is complete.
    Thawed,
}

/// A running activator.
///
/// Dropping `requests` ends the task in good order. A child process is stopped then, any other workload is left as it
/// is.
#[derive(Debug)]
pub struct Activator {
    /// The channel for requests.
    pub requests: Sender<Request>,
    /// The channel of events. The task closes it when it ends.
    pub events: Receiver<Event>,
    /// The task.
    pub task: JoinHandle<()>,
}

/// One request may wait behind the request in progress, and a stop behind that one.
const REQUEST_CAPACITY: usize = 4;
/// Services read events promptly. An activator waits while this queue is full.
const EVENT_CAPACITY: usize = 16;

/// Starts an activator on the current runtime.
///
/// # Panics
/// Outside a tokio runtime.
#[must_use]
pub fn spawn(config: ActivatorConfig, context: ActivatorContext) -> Activator {
    let (requests, request_receiver) = channel(REQUEST_CAPACITY);
    let (event_sender, events) = channel(EVENT_CAPACITY);
    let task = tokio::spawn(config.run(context, request_receiver, event_sender));
    Activator { requests, events, task }
}
