//! Starts the program under test as a service manager does, and observes it.

mod collected;
mod launch;
mod output;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit, setrlimit};

pub use self::collected::Collected;
pub use self::launch::{InvokedAs, Launch, ListenPid};
pub use self::output::Output;
use crate::failure::Doing;
use crate::temp::TempDir;
use crate::{Failure, Result, cpu, wait};

/// A running program under test. The process is killed on drop.
#[derive(Debug)]
pub struct Running {
    child: Child,
    argv0: String,
    stdout: Output,
    stderr: Output,
    _dir: Option<TempDir>,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The name under which it was executed, as in its messages.
    pub fn argv0(&self) -> &str {
        &self.argv0
    }

    /// Its standard output so far.
    pub fn stdout(&self) -> &Output {
        &self.stdout
    }

    /// Its standard error so far.
    pub fn stderr(&self) -> &Output {
        &self.stderr
    }

    /// Waits until it has ended and all its output is read.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let child = &mut self.child;
        let status = wait::until(&format!("end of {}", self.argv0), limit, || {
            child.try_wait().doing(|| "wait for the program".to_owned())
        })
        .map_err(|failure| self.with_log(&failure))?;
        self.stdout.wait_for_end(limit)?;
        self.stderr.wait_for_end(limit)?;
        Ok(status)
    }

    /// Whether it has not ended yet.
    ///
    /// # Errors
    /// When the system call fails.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().doing(|| "get the state of the program".to_owned())?.is_none())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it has already been waited for.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.rustix_pid()?;
        kill_process(pid, signal).doing(|| format!("send {signal:?} to {}", self.argv0))
    }

    /// Whether it sleeps or spins while it is idle.
    ///
    /// # Errors
    /// When it has ended, or the samples do not show either.
    pub fn idling(&self) -> Result<cpu::Idling> {
        cpu::idling(self.pid()).map_err(|failure| self.with_log(&failure))
    }

    /// Sets the soft limit of its descriptors, which may be raised again without privileges.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn limit_nofile(&self, limit: u64) -> Result<()> {
        let path = format!("/proc/{}/limits", self.pid());
        let limits = fs::read_to_string(&path).doing(|| format!("read {path}"))?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let maximum = match line.and_then(|line| line.split_whitespace().nth(1)) {
            Some("unlimited") => None,
            hard => Some(hard.and_then(|hard| hard.parse().ok()).ok_or(Failure::Unexpected(limits.clone()))?),
        };
        prlimit(Some(self.rustix_pid()?), Resource::Nofile, Rlimit { current: Some(limit), maximum })
            .doing(|| format!("limit the descriptors of {}", self.argv0))?;
        Ok(())
    }

    /// Returns the targets of its open descriptors (`socket:[…]`, `pipe:[…]`, paths).
    ///
    /// # Errors
    /// When it has ended.
    pub fn descriptors(&self) -> Result<Vec<PathBuf>> {
        let path = format!("/proc/{}/fd", self.pid());
        let entries = fs::read_dir(&path).doing(|| format!("list {path}"))?;
        // A descriptor may be closed during the loop.
        Ok(entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect())
    }

    /// A field of /proc/PID/status, such as `VmRSS`, without the white space around it.
    ///
    /// # Errors
    /// When it has ended or the field does not exist.
    pub fn status_field(&self, field: &str) -> Result<String> {
        let path = format!("/proc/{}/status", self.pid());
        let text = fs::read_to_string(&path).doing(|| format!("read {path}"))?;
        text.lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .map(|value| value.trim().to_owned())
            .ok_or_else(|| Failure::Unexpected(format!("{path} has no field {field}")))
    }

    /// Returns the failure with the output of the program so far.
    pub fn with_log(&self, failure: &Failure) -> Failure {
        let log = self.stderr.text();
        let tail = log.len().saturating_sub(2000);
        let tail = log.get(tail..).unwrap_or(&log);
        Failure::Unexpected(format!("{failure}; it wrote: {tail:?}"))
    }

    fn rustix_pid(&self) -> Result<Pid> {
        i32::try_from(self.pid())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| Failure::Unexpected(format!("{} is no process id", self.pid())))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended already; then the kill fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Kills the process with this id, which need not be a child.
///
/// # Errors
/// When `pid` is no number, or the system refuses.
pub fn kill(pid: &str) -> Result<()> {
    let number = pid.trim().parse().ok().and_then(Pid::from_raw);
    let number = number.ok_or_else(|| Failure::Unexpected(format!("{pid:?} is no process id")))?;
    kill_process(number, Signal::KILL).doing(|| format!("kill {pid}"))
}

/// Raises the soft limit of descriptors of the test process to at least `needed`.
///
/// # Errors
/// [`Failure::Missing`] when the hard limit is below.
pub fn raise_own_nofile(needed: u64) -> Result<()> {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|soft| soft >= needed) {
        return Ok(());
    }
    if now.maximum.is_some_and(|hard| hard < needed) {
        return Err(Failure::missing(
            format!("a limit of {needed} descriptors"),
            "raise the hard limit (ulimit -Hn) of the tests",
        ));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: now.maximum })
        .doing(|| format!("raise the limit of descriptors to {needed}"))
}
