//! Commands of the user's own: a virtual machine, a cloud instance, a script.

mod job;
mod task;

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};

use self::job::{Job, Outcome, Readers};
use crate::{Context, News, Order};

/// Commands of the user's own; each is a program with its arguments, and has done its work when it exits with 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commands {
    /// Starts it.
    pub start: Vec<OsString>,
    /// Stops it. Without one it is never stopped by us.
    pub stop: Option<Vec<OsString>>,
    /// Freezes it.
    pub freeze: Option<Vec<OsString>>,
    /// Thaws it.
    pub thaw: Option<Vec<OsString>>,
    /// Exits with 0 while it runs, with something else while it does not.
    pub status: Option<Vec<OsString>>,
}

impl fmt::Display for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.start.first().map(|program| program.to_string_lossy()).unwrap_or_default())
    }
}

/// Whether a command exits with 0 within this time. Nothing of it is left if it takes longer, or if this is given up.
pub async fn succeeds(argv: &[OsString], context: &Context, limit: Duration) -> bool {
    let Ok(mut job) = Job::start(argv, context, false) else { return false };
    matches!(job.wait_within(limit, context, &mut Readers::new()).await, Outcome::Done)
}

/// Carries out orders until there are no more.
pub(crate) async fn run(it: Commands, context: Context, orders: Receiver<Order>, news: Sender<News>) {
    task::Task::new(it, context, orders, news).run().await;
}
