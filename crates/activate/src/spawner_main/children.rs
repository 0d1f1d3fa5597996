//! The programs that the spawner has started and not reaped.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::Child;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use crate::process::Termination;
use crate::spawner::{Report, Signalled};

/// A child that is not reaped yet, so that its number stays its own.
#[derive(Debug)]
pub(super) struct Started {
    child: Child,
    pid: Pid,
    /// The identifier of its run, if it is a guard.
    run_id: Option<String>,
    /// The socket for the reports. `None` when dormouse has lost interest.
    reports: Option<UnixStream>,
    ended: bool,
}

/// All children.
#[derive(Debug, Default)]
pub(super) struct Children(Vec<Started>);

impl Started {
    /// Returns `None` for a child whose number is none.
    pub(super) fn new(child: Child, run_id: Option<String>, reports: UnixStream) -> Option<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw)?;
        Some(Self { child, pid, run_id, reports: Some(reports), ended: false })
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    pub(super) fn run_id(&self) -> Option<&str> {
        self.run_id.as_deref()
    }

    /// Reports that the child runs.
    pub(super) fn report_start(&mut self) {
        if let Some(reports) = &mut self.reports {
            let _ = write!(reports, "{}", Report::Started(self.pid));
        }
    }

    /// Carries out what dormouse has written.
    fn obey(&mut self) {
        let Some(reports) = &mut self.reports else { return };
        let mut bytes = [0; 16];
        match reports.read(&mut bytes) {
            Ok(length @ 1..) => {
                let signals = bytes.iter().take(length).filter_map(|byte| Signalled::from_byte(*byte));
                for one in signals.filter(|_| !self.ended) {
                    // The child is not reaped, so no other process and no other group has its number.
                    let _ = match one {
                        Signalled::TerminateGroup => kill_process_group(self.pid, Signal::TERM),
                        Signalled::KillGroup => kill_process_group(self.pid, Signal::KILL),
                        Signalled::Kill => kill_process(self.pid, Signal::KILL),
                    };
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted
                ) => {}
            _ => self.reports = None,
        }
    }

    /// Reports the end, if the child has ended since the last look.
    fn report_end(&mut self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let Ok(Some(status)) = waitid(WaitId::Pid(self.pid), options) else { return };
        self.ended = true;
        let termination = status.exit_status().map_or_else(
            || Termination::Killed(status.terminating_signal().unwrap_or_default()),
            Termination::Exited,
        );
        if let Some(reports) = &mut self.reports {
            // A report that is not read concerns nobody.
            let _ = write!(reports, "{}", Report::Ended(termination));
        }
    }
}

impl Children {
    pub(super) fn add(&mut self, child: Started) {
        self.0.push(child);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Started> {
        self.0.iter()
    }

    /// Returns the sockets on which dormouse may write or close, with the numbers of the children.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (Pid, BorrowedFd<'_>)> {
        self.0.iter().filter_map(|child| Some((child.pid, child.reports.as_ref()?.as_fd())))
    }

    /// Carries out what dormouse has written for these children.
    pub(super) fn obey(&mut self, ready: &[Pid]) {
        for child in self.0.iter_mut().filter(|child| ready.contains(&child.pid)) {
            child.obey();
        }
    }

    /// Reports the children that have ended.
    pub(super) fn report_ends(&mut self) {
        self.0.iter_mut().filter(|child| !child.ended).for_each(Started::report_end);
    }

    /// Reaps the ended children in which dormouse has lost interest.
    pub(super) fn reap(&mut self) {
        self.0.retain_mut(|child| child.reports.is_some() || !child.ended || child.child.wait().is_err());
    }
}
