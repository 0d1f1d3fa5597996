//! Freezing all descendants of the guard: by their control group where the guard could create one, by SIGSTOP otherwise.
//! SIGSTOP also freezes processes that have left the group.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::super::control_group::ControlGroup;
use super::descendants::{Descendants, descendants, signal_all};
use crate::process::HeldProcess;

/// The time that a freeze may take.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(5);

/// Freezes and thaws all descendants of the guard.
#[derive(Debug, Default)]
pub(super) struct Freezer {
    group: Option<ControlGroup>,
    /// The freeze in progress uses the group.
    by_group: bool,
    /// The processes that were sent SIGSTOP, with the times of their starts.
    signalled: HashSet<(Pid, u64)>,
    /// The start of the freeze in progress.
    started: Option<Instant>,
}

/// The progress of a freeze.
pub(super) enum Progress {
    /// It is not complete yet; poll again.
    Pending,
    /// All descendants are frozen.
    Done,
    /// It failed, for this reason.
    Failed(String),
}

impl Freezer {
    /// Creates a freezer for the processes in the group, if there is one.
    pub(super) fn new(group: Option<ControlGroup>) -> Self {
        Self { group, ..Self::default() }
    }

    /// Starts a freeze. The caller calls [`Self::poll`] until it is complete.
    pub(super) fn start(&mut self) {
        self.started = Some(Instant::now());
        self.signalled.clear();
        self.by_group = self.group.as_ref().is_some_and(|group| group.freeze(true).is_ok());
    }

    /// Continues a freeze, and returns its progress. New descendants are frozen, too.
    pub(super) fn poll(&mut self) -> Progress {
        let late = self.started.is_some_and(|started| started.elapsed() > FREEZE_TIMEOUT);
        let group = self.group.as_ref().filter(|_| self.by_group);
        if group.is_some_and(|group| !group.is_frozen()) && !late {
            return Progress::Pending;
        }
        let Descendants { found, cut_short } = descendants();
        let running: Vec<_> = found.iter().filter(|process| self.still_runs(process)).collect();
        if let Err(pid) = signal_all(running.iter().copied(), Signal::STOP) {
            return Progress::Failed(format!("process {pid} belongs to another user and cannot be stopped"));
        }
        if running.is_empty() && !cut_short && !late {
            Progress::Done
        } else if late {
            Progress::Failed(format!("it was not frozen within {} s", FREEZE_TIMEOUT.as_secs()))
        } else {
            Progress::Pending
        }
    }

    /// Returns whether a process needs SIGSTOP, or has not stopped yet.
    fn still_runs(&mut self, process: &HeldProcess) -> bool {
        if self.by_group && self.group.as_ref().is_some_and(|group| group.contains(process)) {
            return false;
        }
        // Without the permission to look at it a process that exists may run.
        let Some(stat) = process.stat() else { return process.exists() };
        match stat.state {
            'Z' | 'X' => false,
            // Also in D the process executes nothing until SIGCONT: it waits in the kernel and stops before it returns, as
            // a shell does for its stopped child (vfork).
            'T' | 't' | 'D' => self.signalled.insert((process.pid(), stat.started)),
            _ => {
                self.signalled.insert((process.pid(), stat.started));
                true
            }
        }
    }

    /// Thaws all descendants. Does nothing if they are not frozen.
    pub(super) fn thaw(&mut self) {
        self.started = None;
        if let Some(group) = &self.group {
            let _ = group.freeze(false);
        }
        // Also with a group: a descendant that has left it may be stopped by SIGSTOP.
        let _ = signal_all(&descendants().found, Signal::CONT);
    }

    /// Kills all processes in the group at once.
    pub(super) fn kill(&self) {
        if let Some(group) = &self.group {
            group.kill();
        }
    }

    /// Removes the empty group.
    pub(super) fn remove(&mut self) {
        if let Some(group) = self.group.take() {
            group.remove();
        }
    }
}
