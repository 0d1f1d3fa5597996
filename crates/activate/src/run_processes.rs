//! The processes of the present run of a workload, as far as its activator knows where they begin.

use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Pid;

/// Where the processes of the present run begin. The activator writes it, and whoever asks for the owner of a socket
/// reads it. All clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct RunProcesses(Arc<Mutex<Option<RunRoot>>>);

/// Where the processes of a run begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunRoot {
    /// All descendants of this guard process.
    Guard(Pid),
    /// The control group of a container's main process.
    Container {
        /// The ID of the container, which is part of the name of its control group.
        id: String,
        /// The main process, in the PID namespace of the engine.
        pid: Option<u32>,
    },
}

impl RunProcesses {
    /// Records where the processes of a run begin.
    pub(crate) fn set(&self, root: RunRoot) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(root);
    }

    /// Returns where the processes of the present run begin. `None` before the first run.
    pub(crate) fn get(&self) -> Option<RunRoot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
