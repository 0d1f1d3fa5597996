//! The background tasks of a service with several servers: health checks and DNS queries.

use tokio::task::{AbortHandle, JoinSet};

/// The background tasks of a service. They end with the service.
#[derive(Debug, Default)]
pub(super) struct BackgroundTasks {
    all: JoinSet<()>,
    /// The tasks that end when the service is retired.
    until_retired: Vec<AbortHandle>,
}

/// How long a background task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// Until no further client asks for a server: the task only matters to the choice of a server.
    UntilRetired,
    /// Until the last session has ended: the task may end sessions.
    UntilDropped,
}

impl BackgroundTasks {
    /// Starts a task.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static, lifetime: Lifetime) {
        let handle = self.all.spawn(task);
        if lifetime == Lifetime::UntilRetired {
            self.until_retired.push(handle);
        }
    }

    /// Ends the tasks that only matter to the choice of a server.
    pub(super) fn retire(&self) {
        for task in &self.until_retired {
            task.abort();
        }
    }
}
