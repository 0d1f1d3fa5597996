//! Starts programs: by the spawner if there is one, otherwise as children of this process.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use super::client::spawner;
use super::process::{Process, Spawned};
use super::reports::{Report, gone};
use crate::process::OwnChild;

/// The time that a start may take. Only a file system that hangs takes longer.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// What can be started.
pub(crate) trait Startable: Serialize {
    /// The name of this kind for the spawner.
    const KIND: &'static str;
    /// Whether the program leads a process group, which is killed when dormouse loses interest.
    const LEADS_GROUP: bool;

    /// Returns the command, without its standard descriptors.
    fn command(&self) -> Command;
}

/// The standard descriptors of a program.
#[derive(Debug)]
pub(crate) struct Descriptors {
    /// Standard output and standard error.
    pub(crate) output: OwnedFd,
    /// Standard input. `None` is empty.
    pub(crate) input: Option<OwnedFd>,
}

impl Descriptors {
    /// Gives the descriptors to a command.
    pub(crate) fn apply_to(self, command: &mut Command) -> io::Result<()> {
        command.stdin(self.input.map_or_else(Stdio::null, Stdio::from));
        command.stdout(Stdio::from(self.output.try_clone()?)).stderr(Stdio::from(self.output));
        Ok(())
    }
}

#[derive(Serialize)]
struct Named<'a, S> {
    kind: &'static str,
    body: &'a S,
}

#[derive(Serialize)]
struct Start<T> {
    start: T,
}

/// Starts a program with these descriptors.
///
/// # Errors
/// When the program cannot be started, as for [`std::process::Command::spawn`], or the spawner has ended or refuses it.
pub(crate) async fn start_program<S: Startable>(
    program: &S,
    descriptors: Descriptors,
) -> io::Result<Process> {
    let Some(spawner) = spawner() else {
        let mut command = program.command();
        descriptors.apply_to(&mut command)?;
        let child = OwnChild::start(&mut command.into())?;
        return Ok(Process::child(child, S::LEADS_GROUP));
    };
    let request = Start { start: Named { kind: S::KIND, body: program } };
    let passed: Vec<_> =
        [&descriptors.output].into_iter().chain(&descriptors.input).map(|fd| fd.as_fd()).collect();
    let (reports, place) = spawner.request(&request, &passed).await?;
    // From here on a program that nobody waits for is killed.
    let mut process = Process::spawned(Spawned::new(reports), S::LEADS_GROUP);
    let report = timeout(START_TIMEOUT, process.first_report()).await;
    drop(place);
    match report.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
        Report::Started(_) => Ok(process),
        Report::Failed(errno) => Err(errno.into()),
        Report::Refused => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it was not in the configuration when dormouse started; restart dormouse",
        )),
        Report::Ended(_) | Report::Answer(_) => Err(gone()),
    }
}
