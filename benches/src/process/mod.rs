//! Starting programs so that none of them outlives the bench, and listening to what they say.

mod launch;
mod role;
mod scratch;

use std::{
    env, fs,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, Signal, set_parent_process_death_signal},
    time::{ClockId, clock_gettime},
};

pub(crate) use launch::{Start, launch, start};
pub(crate) use role::{Role, await_go, say};
pub(crate) use scratch::Scratch;

use crate::error::{Doing, Error, Result};

/// A program that ends with this value, or with the bench, whichever is first.
pub(crate) struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Errors here mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub(crate) fn pid(&self) -> Result<Pid> {
        i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| Error::Protocol(format!("{} has no process id", self.name)))
    }

    /// An error that shows the program's own words, if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait().doing(|| format!("look after {}", self.name))? {
            None => Ok(()),
            Some(status) => Err(Error::Ended {
                program: self.name.clone(),
                status: status.to_string(),
                log: tail(&fs::read_to_string(&self.log).unwrap_or_default()),
            }),
        }
    }
}

fn tail(log: &str) -> String {
    let start = log.char_indices().rev().nth(300).map_or(0, |(at, _)| at);
    log.get(start..).unwrap_or_default().to_owned()
}

/// Asks the kernel to kill this process when the one that started it ends, however it ends.
pub(crate) fn die_with_parent() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).doing(|| "tie a process to the bench".into())
}

/// The clock that all processes share.
pub(crate) fn monotonic() -> Duration {
    clock_gettime(ClockId::Monotonic).try_into().unwrap_or_default()
}

/// Waits until the descriptor has something to read.
pub(crate) fn readable(
    source: &impl AsFd,
    at_most: Duration,
    awaited: impl FnOnce() -> String,
) -> Result<()> {
    let until = Instant::now() + at_most;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Late { awaited: awaited(), after: at_most });
        }
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(source, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error).doing(|| "wait for a process".into()),
        }
    }
}

/// The bench's own program.
pub(crate) fn own_path() -> Result<PathBuf> {
    env::current_exe().doing(|| "find the bench's own program".into())
}

fn log_file(path: &Path) -> Result<fs::File> {
    fs::OpenOptions::new().create(true).append(true).open(path).doing(|| format!("open {}", path.display()))
}
