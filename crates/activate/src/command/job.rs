//! One run of one command, in a process group of its own.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::process::{
    LastLine, OutputLines, Termination, new_command, next_line, output_pipe, spawn_failure,
};
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

/// Tasks that read the output of background processes of ended commands.
pub(super) type OutputReaders = JoinSet<()>;

/// A running command. Dropping it kills its process group.
#[derive(Debug)]
pub(super) struct Job {
    child: Child,
    /// Its process group. `None` when the command has ended.
    group: Option<Pid>,
    output: Option<OutputLines>,
    last_line: LastLine,
}

impl Job {
    /// Starts a command. With `log_output`, its output goes to the log.
    pub(super) fn start(
        argv: &[OsString],
        context: &ActivatorContext,
        log_output: bool,
    ) -> Result<Self, CommandEnd> {
        let Some((program, arguments)) = argv.split_first() else {
            return Err(CommandEnd::NotRun("the command is empty; name a program".to_owned()));
        };
        let mut command = new_command(program, &context.name);
        command.args(arguments).process_group(0).stdin(Stdio::null());
        let not_run = |error: io::Error| CommandEnd::NotRun(spawn_failure(program, &error));
        let mut lines = None;
        if log_output {
            let (write, read) = output_pipe().map_err(not_run)?;
            command.stdout(Stdio::from(write.try_clone().map_err(not_run)?)).stderr(Stdio::from(write));
            lines = Some(read);
        } else {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let child = command.spawn().map_err(not_run)?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, group, output: lines, last_line: LastLine::default() })
    }

    /// Waits for the end of the command. Cancelling this does not end the command.
    pub(super) async fn wait(
        &mut self,
        context: &ActivatorContext,
        readers: &mut OutputReaders,
    ) -> CommandEnd {
        let status = loop {
            tokio::select! {
                status = self.child.wait() => break status,
                line = next_line(self.output.as_mut()) => self.handle_line(line, context),
            }
        };
        self.group = None;
        let termination = status.map(Termination::from);
        if !termination.as_ref().is_ok_and(|termination| termination.is_success()) {
            self.read_remaining_output(context).await;
        }
        self.detach_output(context, readers);
        match termination {
            Ok(termination) if termination.is_success() => CommandEnd::Success,
            Ok(termination) => CommandEnd::Failed(termination, format!("{termination}{}", self.last_line)),
            Err(error) => CommandEnd::NotRun(format!("cannot wait for its end: {error}")),
        }
    }

    /// Waits for the end of the command, and kills it if it takes longer than `limit`.
    pub(super) async fn wait_within(
        &mut self,
        limit: Duration,
        context: &ActivatorContext,
        readers: &mut OutputReaders,
    ) -> CommandEnd {
        if let Ok(outcome) = timeout(limit, self.wait(context, readers)).await {
            return outcome;
        }
        self.signal(Signal::KILL);
        // A process that SIGKILL does not end hangs in the kernel. Nothing more can be done about it.
        let _ = timeout(KILL_AFTER, self.wait(context, readers)).await;
        CommandEnd::TimedOut(limit)
    }

    /// Sends SIGTERM to the command, and kills it if it does not end.
    pub(super) async fn terminate(mut self, context: &ActivatorContext, readers: &mut OutputReaders) {
        self.signal(Signal::TERM);
        self.wait_within(KILL_AFTER, context, readers).await;
    }

    /// Lets the command run on.
    pub(super) fn detach(mut self) {
        self.group = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }

    fn handle_line(&mut self, line: Option<String>, context: &ActivatorContext) {
        match line {
            Some(line) => {
                self.last_line.update(&line);
                (context.log)(LogLine::Output(&line));
            }
            None => self.output = None,
        }
    }

    /// Reads the remaining output.
    async fn read_remaining_output(&mut self, context: &ActivatorContext) {
        let timeout = sleep(OUTPUT_TIMEOUT);
        tokio::pin!(timeout);
        while self.output.is_some() {
            tokio::select! {
                biased;
                line = next_line(self.output.as_mut()) => self.handle_line(line, context),
                () = &mut timeout => break,
            }
        }
    }

    /// Keeps logging the output of background processes of the command, so that nothing has to wait for their end.
    fn detach_output(&mut self, context: &ActivatorContext, readers: &mut OutputReaders) {
        while readers.try_join_next().is_some() {}
        let Some(mut lines) = self.output.take() else { return };
        if readers.len() >= MAX_READERS {
            (context.log)(LogLine::Warning(
                "The output of the background processes of a command is no longer logged",
            ));
            return;
        }
        let log = context.log.clone();
        readers.spawn(async move {
            while let Some(line) = lines.next().await {
                log(LogLine::Output(&line));
            }
        });
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
