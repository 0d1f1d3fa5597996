//! Running programs.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Child,
};

use rustix::process::{Pid, Signal, set_parent_process_death_signal};

use crate::error::{Error, ErrorContext, Result};

/// A running program. It ends when this value is dropped, or when the benchmark ends.
pub(crate) struct Running {
    pub(super) name: String,
    pub(super) child: Child,
    pub(super) log: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that the program has ended already.
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

    /// Returns an error with the end of the program's log if the program has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait().context(|| format!("check {}", self.name))? {
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

/// Makes the kernel kill this process when its parent ends.
pub(crate) fn die_with_parent() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context(|| "set the parent death signal".into())
}

/// Returns the path of this program.
pub(crate) fn own_executable() -> Result<PathBuf> {
    env::current_exe().context(|| "find the path of this program".into())
}

/// Opens a log file for appending.
pub(super) fn log_file(path: &Path) -> Result<fs::File> {
    fs::OpenOptions::new().create(true).append(true).open(path).context(|| format!("open {}", path.display()))
}
