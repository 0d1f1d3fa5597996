//! One run of one command, in a process group of its own.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::timeout;

use crate::output::{Output, WorkloadLog};
use crate::process::{OwnChild, Termination, new_command, spawn_failure};
use crate::{ActivatorContext, LogLine};

/// The time that the last output of a command may take to arrive.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(100);
/// The time that a command may take to end after SIGTERM, before SIGKILL.
const KILL_AFTER: Duration = Duration::from_secs(2);
/// The number of ended commands whose background processes may still write to the log.
const MAX_READERS: usize = 8;

/// The outcome of a command.
#[derive(Debug)]
pub(super) enum CommandEnd {
    /// It exited with code 0.
    Success,
    /// It ended in another way; the text describes how.
    Failed(Termination, String),
    /// It could not be started or reaped, for this reason.
    NotRun(String),
    /// It took longer than this, and was killed.
    TimedOut(Duration),
}

impl CommandEnd {
    /// Describes the failure of the command for `purpose` (`start`, `stop`, …); `None` after a success.
    pub(super) fn failure(self, purpose: &str) -> Option<String> {
        match self {
            Self::Success => None,
            Self::Failed(_, reason) => Some(format!("the {purpose} command failed: {reason}")),
            Self::NotRun(reason) => Some(format!("cannot run the {purpose} command: {reason}")),
            Self::TimedOut(limit) => Some(format!(
                "the {purpose} command was killed: it took longer than {} s",
                limit.as_secs_f32()
            )),
        }
    }
}

/// The output of the commands of one workload.
pub(super) struct CommandLog {
    log: WorkloadLog,
    /// The output of background processes of ended commands.
    background: Vec<Output>,
}

impl CommandLog {
    /// Creates a log that writes to that of the activator.
    pub(super) fn new(context: &ActivatorContext) -> Self {
        Self { log: WorkloadLog::new(context.log.clone()), background: Vec::new() }
    }
}

/// A running command. Dropping it kills its process group.
#[derive(Debug)]
pub(super) struct Job {
    child: OwnChild,
    /// Its process group. `None` when the command has ended.
    group: Option<Pid>,
    output: Option<Output>,
}

impl Job {
    /// Starts a command. Its output goes to the log, if there is one.
    pub(super) fn start(
        argv: &[OsString],
        context: &ActivatorContext,
        log: Option<&CommandLog>,
    ) -> Result<Self, CommandEnd> {
        let Some((program, arguments)) = argv.split_first() else {
            return Err(CommandEnd::NotRun("the command is empty; name a program".to_owned()));
        };
        let mut command = new_command(program, &context.name);
        command.args(arguments).process_group(0).stdin(Stdio::null());
        let not_run = |error: io::Error| CommandEnd::NotRun(spawn_failure(program, None, &error));
        let mut output = None;
        if let Some(log) = log {
            let (write, read) = Output::start(log.log.clone()).map_err(not_run)?;
            command.stdout(Stdio::from(write.try_clone().map_err(not_run)?)).stderr(Stdio::from(write));
            output = Some(read);
        } else {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let child = OwnChild::start(&mut command).map_err(not_run)?;
        let group = child.pid();
        Ok(Self { child, group, output })
    }

    /// Waits for the end of the command. Cancelling this does not end the command.
    pub(super) async fn wait(&mut self, context: &ActivatorContext, log: &mut CommandLog) -> CommandEnd {
        let status = self.child.wait().await;
        // The command is reaped: its number, and that of its group, may mean others from now on.
        self.group = None;
        let termination = status.map(Termination::from);
        if let (false, Some(output)) =
            (termination.as_ref().is_ok_and(|termination| termination.is_success()), &mut self.output)
        {
            output.finish(OUTPUT_TIMEOUT).await;
        }
        let last_line = self.output.as_ref().map(Output::last_line).unwrap_or_default();
        self.detach_output(context, log);
        match termination {
            Ok(termination) if termination.is_success() => CommandEnd::Success,
            Ok(termination) => CommandEnd::Failed(termination, format!("{termination}{last_line}")),
            Err(error) => CommandEnd::NotRun(format!("cannot wait for its end: {error}")),
        }
    }

    /// Waits for the end of the command, and kills it if it takes longer than `limit`.
    pub(super) async fn wait_within(
        &mut self,
        limit: Duration,
        context: &ActivatorContext,
        log: &mut CommandLog,
    ) -> CommandEnd {
        if let Ok(outcome) = timeout(limit, self.wait(context, log)).await {
            return outcome;
        }
        self.signal(Signal::KILL);
        // A process that SIGKILL does not end hangs in the kernel. Nothing more can be done about it.
        let _ = timeout(KILL_AFTER, self.wait(context, log)).await;
        CommandEnd::TimedOut(limit)
    }

    /// Sends SIGTERM to the command, and kills it if it does not end.
    pub(super) async fn terminate(mut self, context: &ActivatorContext, log: &mut CommandLog) {
        self.signal(Signal::TERM);
        self.wait_within(KILL_AFTER, context, log).await;
    }

    /// Lets the command run on.
    pub(super) fn detach(mut self) {
        self.group = None;
    }

    /// Signals the process group. The command is not reaped yet, so no other process and no other group has its number.
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Keeps logging the output of background processes of the command, so that nothing has to wait for their end.
    fn detach_output(&mut self, context: &ActivatorContext, log: &mut CommandLog) {
        log.background.retain(|output| !output.is_finished());
        let Some(output) = self.output.take() else { return };
        if log.background.len() >= MAX_READERS {
            (context.log)(LogLine::Warning(
                "The output of the background processes of a command is no longer logged",
            ));
            return;
        }
        log.background.push(output);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
