//! A program that was started: a child of this process or of the spawner.

use std::io;

use rustix::process::{Pid, Signal, kill_process_group};

use super::reports::{Report, Reports, gone};
use super::wire::Signalled;
use crate::process::{OwnChild, Termination};

/// A program that was started. If it leads a process group, dropping the value kills the group.
#[derive(Debug)]
pub(crate) struct Process {
    parent: Parent,
    leads_group: bool,
}

#[derive(Debug)]
enum Parent {
    This(OwnChild),
    Spawner(Spawned),
}

/// A child of the spawner.
#[derive(Debug)]
pub(super) struct Spawned {
    reports: Reports,
    /// The number of the process. It stays this process's until this value is dropped, also after its end.
    pid: Option<Pid>,
    ended: bool,
}

impl Spawned {
    pub(super) fn new(reports: Reports) -> Self {
        Self { reports, pid: None, ended: false }
    }
}

impl Process {
    pub(super) fn child(child: OwnChild, leads_group: bool) -> Self {
        Self { parent: Parent::This(child), leads_group }
    }

    pub(super) fn spawned(spawned: Spawned, leads_group: bool) -> Self {
        Self { parent: Parent::Spawner(spawned), leads_group }
    }

    /// Returns the first report of the spawner about the program.
    pub(super) async fn first_report(&mut self) -> io::Result<Report> {
        let Parent::Spawner(spawned) = &mut self.parent else { return Err(gone()) };
        let report = spawned.reports.next().await?;
        if let Report::Started(pid) = report {
            spawned.pid = Some(pid);
        }
        Ok(report)
    }

    /// Returns the number of the process; `None` when it was reaped. Until then no other process has it.
    pub(crate) fn id(&self) -> Option<Pid> {
        match &self.parent {
            Parent::This(child) => child.pid(),
            Parent::Spawner(spawned) => spawned.pid,
        }
    }

    /// Waits for the end of the process. Cancel safe.
    ///
    /// # Errors
    /// When the process cannot be reaped, or the spawner has ended.
    pub(crate) async fn wait(&mut self) -> io::Result<Termination> {
        match &mut self.parent {
            Parent::This(child) => child.wait().await.map(Termination::from),
            Parent::Spawner(spawned) => {
                let report = spawned.reports.next().await;
                spawned.ended = true;
                match report? {
                    Report::Ended(termination) => Ok(termination),
                    _ => Err(gone()),
                }
            }
        }
    }

    /// Sends SIGTERM to the process group of the program, unless the program has ended.
    pub(crate) fn terminate_group(&self) {
        self.signal_group(Signal::TERM, Signalled::TerminateGroup);
    }

    /// Sends SIGKILL to the process group of the program, unless the program has ended.
    pub(crate) fn kill_group(&self) {
        self.signal_group(Signal::KILL, Signalled::KillGroup);
    }

    fn signal_group(&self, signal: Signal, signalled: Signalled) {
        match (&self.parent, self.id()) {
            // It is not reaped, so no other group has its number.
            (Parent::This(_), Some(group)) => {
                let _ = kill_process_group(group, signal);
            }
            (Parent::This(_), None) => {}
            // After the end of the spawner the number may mean others. So the spawner, which does not reap it, signals.
            (Parent::Spawner(spawned), _) => spawned.signal(signalled),
        }
    }

    /// Sends SIGKILL to the process, unless it has ended.
    pub(crate) fn kill(&mut self) {
        match &mut self.parent {
            Parent::This(child) => child.kill(),
            Parent::Spawner(spawned) => spawned.signal(Signalled::Kill),
        }
    }

    /// Lets the program run on.
    pub(crate) fn detach(mut self) {
        self.leads_group = false;
    }
}

impl Spawned {
    fn signal(&self, signalled: Signalled) {
        if !self.ended {
            self.reports.write(signalled.to_byte());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.leads_group {
            self.kill_group();
        }
    }
}
