//! What starts, stops, freezes and thaws what is behind a service: a process of ours, a systemd unit, a container,
//! the user's own commands, a packet to a sleeping machine.
//!
//! Each kind is one task that takes [`Order`]s and tells [`News`]. It decides nothing: when to start and when to sleep
//! is the service's business. [`spawn`] starts the task; it ends when its orders end, and the channel of news with it.

#![forbid(unsafe_code)]
// They panic where nothing can be written.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod command;
pub mod container;
mod error;
pub mod exec;
pub mod lan;
mod process;
pub mod unit;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

pub use error::{Operation, WakeError};

/// What stands behind a server, and how it is woken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// A process of ours.
    Exec(exec::Exec),
    /// A systemd unit.
    Unit(unit::Unit),
    /// A container of Podman or Docker.
    Container(container::Container),
    /// Commands of the user's own.
    Command(command::Commands),
    /// A machine that a Wake-on-LAN packet wakes.
    Lan(lan::Machine),
}

/// What a waker gets from whoever drives it.
#[derive(Clone)]
pub struct Context {
    /// The name in our log and in the environment of what is started (`DORMOUSE_SERVICE`).
    pub name: String,
    /// How long a stop may take before it is enforced (SIGKILL and its like).
    pub stop_timeout: Duration,
    /// What is found running at first was started by us, before a crash or a restart of ours.
    pub ours: bool,
    /// Takes lines for our log.
    pub tell: Tell,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("name", &self.name)
            .field("stop_timeout", &self.stop_timeout)
            .finish_non_exhaustive()
    }
}

/// Takes one line for our log; never blocks.
pub type Tell = Arc<dyn Fn(Line<'_>) + Send + Sync>;

/// A line for our log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// What the woken program itself wrote.
    Output(&'a str),
    /// What happened, for an administrator.
    Notice(&'a str),
    /// What somebody should look at.
    Warning(&'a str),
}

/// What is to be done. At most one order is under way, except that [`Order::Stop`] also ends a start, a freeze or a
/// thaw in flight, of which nothing more is told then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Start it. Answered by [`News::Launched`] or [`News::StartFailed`].
    Start,
    /// Stop it, frozen or not, running or not. Answered by [`News::Stopped`].
    Stop,
    /// Freeze it. Answered by [`News::Frozen`] or [`News::FreezeFailed`].
    Freeze,
    /// Thaw it. Answered by [`News::Thawed`].
    Thaw,
}

/// What became known.
#[derive(Debug)]
pub enum News {
    /// It runs, as far as whoever started it can tell; whether it answers is for others to find out.
    Launched {
        /// Somebody else had started it already.
        foreign: bool,
    },
    /// It says itself that it is ready: `READY=1`, a unit's job that is done, a container that is healthy.
    Ready,
    /// It could not be started, or ended before it was ready.
    StartFailed(WakeError),
    /// Nobody asked, and it runs: it ran before us, or somebody has started it since.
    Running {
        /// Somebody else; not what watches over what we have started (`Restart=`).
        foreign: bool,
    },
    /// It ended by itself, or somebody else ended it; with the reason if not in good order.
    Exited(Result<(), WakeError>),
    /// The stop is done.
    Stopped,
    /// The freezing is done.
    Frozen,
    /// It cannot be frozen.
    FreezeFailed(WakeError),
    /// It is thawed.
    Thawed,
}

/// A waker's task, and the way to it and from it. Dropping `orders` ends it in good order: a process of ours is stopped
/// then, everything else is left as it is.
#[derive(Debug)]
pub struct Waker {
    /// Takes orders.
    pub orders: Sender<Order>,
    /// Tells news; ends when the task has ended.
    pub news: Receiver<News>,
    /// The task.
    pub task: JoinHandle<()>,
}

/// One order may wait behind the one that is carried out, and a stop behind it.
const ORDERS: usize = 4;
/// A service takes its news promptly; a waker waits when this is full.
const NEWS: usize = 16;

/// Starts the waker's task on the runtime that this is called on.
pub fn spawn(wake: Wake, context: Context) -> Waker {
    let (orders, taken) = channel(ORDERS);
    let (tell, news) = channel(NEWS);
    let task = tokio::spawn(async move {
        match wake {
            Wake::Exec(exec) => exec::run(exec, context, taken, tell).await,
            Wake::Unit(unit) => unit::run(unit, context, taken, tell).await,
            Wake::Container(container) => container::run(container, context, taken, tell).await,
            Wake::Command(commands) => command::run(commands, context, taken, tell).await,
            Wake::Lan(machine) => lan::run(machine, context, taken, tell).await,
        }
    });
    Waker { orders, news, task }
}

impl fmt::Display for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exec(exec) => write!(f, "{exec}"),
            Self::Unit(unit) => write!(f, "{unit}"),
            Self::Container(container) => write!(f, "{container}"),
            Self::Command(commands) => write!(f, "{commands}"),
            Self::Lan(machine) => write!(f, "{machine}"),
        }
    }
}
