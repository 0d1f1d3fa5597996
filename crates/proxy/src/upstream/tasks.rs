//! What goes on beside the sessions of a service with several servers: checks, and questions to the DNS.

use tokio::task::{AbortHandle, JoinSet};

use super::Service;

/// They end with the service.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    all: JoinSet<()>,
    /// Those that only matter to who has no server yet.
    choice: Vec<AbortHandle>,
}

impl Tasks {
    /// Runs one. `lasting`: it matters to who has a server, too.
    pub(super) fn run(&mut self, task: impl Future<Output = ()> + Send + 'static, lasting: bool) {
        let handle = self.all.spawn(task);
        if !lasting {
            self.choice.push(handle);
        }
    }
}

impl Service {
    /// How many sessions have their server, where it is chosen among several.
    pub fn settled(&self) -> usize {
        self.pool.as_ref().map_or(0, |pool| pool.settled())
    }

    /// Nobody will ask it for a server any more: it looks after its servers no further, but for checks that end
    /// sessions.
    pub fn retire(&self) {
        for task in &self.tasks.choice {
            task.abort();
        }
    }
}
