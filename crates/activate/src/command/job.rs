//! One run of one command, in a process group of its own.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::output::{Output, WorkloadLog};
use crate::process::{Termination, new_command, spawn_failure};
use crate::spawner::{Descriptors, Process, Startable, start_program};
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

/// A command of a service, which runs in a process group of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommandLaunch {
    /// The name of the service.
    pub(crate) service: String,
    /// The program and its arguments.
    pub(crate) argv: Vec<OsString>,
}

impl Startable for CommandLaunch {
    const KIND: &'static str = "command";
    const LEADS_GROUP: bool = true;

    fn command(&self) -> Command {
        let (program, arguments) =
            self.argv.split_first().map_or(("".as_ref(), &[][..]), |(first, rest)| (first.as_os_str(), rest));
        let mut command = new_command(program, &self.service);
        command.args(arguments).process_group(0);
        command
    }
}

/// A running command. Dropping it kills its process group.
#[derive(Debug)]
pub(super) struct Job {
    process: Process,
    output: Option<Output>,
}

impl Job {
    /// Starts a command. Its output goes to the log, if there is one.
    pub(super) async fn start(
        argv: &[OsString],
        context: &ActivatorContext,
        log: Option<&CommandLog>,
    ) -> Result<Self, CommandEnd> {
        let Some(program) = argv.first() else {
            return Err(CommandEnd::NotRun("the command is empty; name a program".to_owned()));
        };
        let not_run = |error: io::Error| CommandEnd::NotRun(spawn_failure(program, None, &error));
        let (write, output) = if let Some(log) = log {
            let (write, read) = Output::start(log.log.clone()).map_err(not_run)?;
            (write, Some(read))
        } else {
            (File::options().write(true).open("/dev/null").map_err(not_run)?.into(), None)
        };
        let launch = CommandLaunch { service: context.name.clone(), argv: argv.to_vec() };
        let descriptors = Descriptors { output: write, input: None };
        let process = start_program(&launch, descriptors).await.map_err(not_run)?;
        Ok(Self { process, output })
    }

    /// Waits for the end of the command. Cancelling this does not end the command.
    pub(super) async fn wait(&mut self, context: &ActivatorContext, log: &mut CommandLog) -> CommandEnd {
        let termination = self.process.wait().await;
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
        self.process.kill_group();
        // A process that SIGKILL does not end hangs in the kernel. Nothing more can be done about it.
        let _ = timeout(KILL_AFTER, self.wait(context, log)).await;
        CommandEnd::TimedOut(limit)
    }

    /// Sends SIGTERM to the command, and kills it if it does not end.
    pub(super) async fn terminate(mut self, context: &ActivatorContext, log: &mut CommandLog) {
        self.process.terminate_group();
        self.wait_within(KILL_AFTER, context, log).await;
    }

    /// Lets the command run on.
    pub(super) fn detach(self) {
        self.process.detach();
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
