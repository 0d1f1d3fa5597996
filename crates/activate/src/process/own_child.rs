//! The children that this process has started, and those that it has adopted.
//!
//! The kernel gives each process whose parent has ended to the first process of its PID namespace, which dormouse is in
//! some containers. An adopted process that ends keeps its entry in the table of processes until dormouse reaps it. The
//! others are left to the code that waits for them.

use std::io;
use std::process::{self, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, child_subreaper, getpid, waitpid};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use super::children;

/// The children that this process has started and not reaped yet.
static STARTED: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A child that this process has started. A child that is dropped before its end is reaped then.
#[derive(Debug)]
pub(crate) struct OwnChild(Option<(Child, Pid)>);

impl OwnChild {
    /// Starts a command.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        // Locked before the child exists, so that it is never taken for an adopted one.
        let mut started = started();
        let child = command.spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        started.extend(pid);
        Ok(Self(pid.map(|pid| (child, pid))))
    }

    /// Returns the number of the child; `None` after it was reaped.
    pub(crate) fn pid(&self) -> Option<Pid> {
        self.0.as_ref().map(|(_, pid)| *pid)
    }

    /// Waits for the end of the child. Cancel safe.
    ///
    /// # Errors
    /// When the child was reaped already.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let (child, _) = self.0.as_mut().ok_or(Errno::CHILD)?;
        let status = child.wait().await;
        if let Some((_, pid)) = self.0.take() {
            forget(pid);
        }
        status
    }

    /// Sends SIGKILL to the child, unless it was reaped.
    pub(crate) fn kill(&mut self) {
        if let Some((child, _)) = &mut self.0 {
            let _ = child.start_kill();
        }
    }
}

impl Drop for OwnChild {
    fn drop(&mut self) {
        let (Some((mut child, pid)), Ok(runtime)) = (self.0.take(), Handle::try_current()) else { return };
        runtime.spawn(async move {
            let _ = child.wait().await;
            forget(pid);
        });
    }
}

/// A child that lives as long as this process, and is started before there is an event loop.
#[derive(Debug)]
pub(crate) struct LastingChild(process::Child);

impl LastingChild {
    /// Starts a command.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub(crate) fn start(command: &mut process::Command) -> io::Result<Self> {
        let mut started = started();
        let child = command.spawn()?;
        started.extend(pid_of(&child));
        Ok(Self(child))
    }

    /// Waits for the end of the child. Blocks.
    ///
    /// # Errors
    /// When the child was reaped already.
    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.0.wait();
        if let Some(pid) = pid_of(&self.0) {
            forget(pid);
        }
        status
    }
}

fn pid_of(child: &process::Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn forget(pid: Pid) {
    started().retain(|started| *started != pid);
}

fn started() -> MutexGuard<'static, Vec<Pid>> {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reaps the adopted children whenever they end. Returns at once if this process adopts none, or without descriptors.
pub async fn reap_adopted() {
    let adopts = getpid() == Pid::INIT || child_subreaper().is_ok_and(|subreaper| subreaper.is_some());
    let Some(mut ended) = adopts.then(|| signal(SignalKind::child()).ok()).flatten() else { return };
    loop {
        reap_those_not_started();
        if ended.recv().await.is_none() {
            return;
        }
    }
}

fn reap_those_not_started() {
    let started = started();
    for child in children(getpid()).into_iter().filter(|child| !started.contains(child)) {
        // A child keeps its number until this process reaps it. One that still runs is left alone.
        let _ = waitpid(Some(child), WaitOptions::NOHANG);
    }
}
