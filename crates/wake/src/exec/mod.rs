//! A process of ours, with a guard of its own, so that none of it outlives us.
//!
//! ```text
//!  dormouse ──orders, answers── guard ── program ── its children, in whatever group or session
//!     └─────────lines of output──────────┴──────────────┘
//! ```

pub mod guard;
mod guarded;
mod notify;
mod protocol;
mod running;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use tokio::sync::mpsc::{Receiver, Sender};

use self::running::{Next, Running};
use crate::{Context, News, Operation, Order, WakeError};

/// A program, started by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The program and its arguments; never empty.
    pub argv: Vec<OsString>,
    /// Added to the environment, which is otherwise ours without what the service manager meant for us.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it runs; where we run if `None`.
    pub directory: Option<PathBuf>,
    /// It says by `READY=1` when it is ready (`NOTIFY_SOCKET`, `sd_notify(3)`).
    pub notify: bool,
}

impl fmt::Display for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.argv.first().map(|program| program.to_string_lossy()).unwrap_or_default())
    }
}

/// Has another program than ourselves be the guard: one whose `main` calls [`guard::main`] with the arguments behind
/// the first two. The first call counts.
#[doc(hidden)]
pub fn set_guard_program(program: PathBuf) {
    guarded::set_program(program);
}

/// Carries out orders until there are no more.
pub(crate) async fn run(it: Exec, context: Context, mut orders: Receiver<Order>, news: Sender<News>) {
    let mut start_again = false;
    loop {
        let order = if start_again { Some(Order::Start) } else { orders.recv().await };
        start_again = false;
        let answer = match order {
            Some(Order::Start) => match Running::start(&it, &context, &news) {
                Ok(running) => match running.drive(&mut orders).await {
                    Next::Orders => continue,
                    Next::Start => {
                        start_again = true;
                        continue;
                    }
                    Next::End => return,
                },
                Err(error) => News::StartFailed(error),
            },
            Some(Order::Stop) => News::Stopped,
            Some(Order::Freeze) => {
                News::FreezeFailed(failure(&it, Operation::Freeze, "it does not run".to_owned()))
            }
            Some(Order::Thaw) => News::Thawed,
            None => return,
        };
        let _ = news.send(answer).await;
    }
}

fn failure(it: &Exec, operation: Operation, reason: String) -> WakeError {
    WakeError { what: it.to_string(), operation, reason }
}
