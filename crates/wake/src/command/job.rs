//! One run of one command, in a process group of its own.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::process::{Ending, LastWords, Lines, command, output, spawn_failure};
use crate::{Context, Line};

/// How long the last output of a command may take to arrive.
const LAST_OUTPUT: Duration = Duration::from_millis(100);
/// How long a command that was asked to end may take, before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// Programs that a command left behind, whose output is still told.
const READERS: usize = 8;

/// What became of a command.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It exited with 0.
    Done,
    /// It ended in another way, for this reason.
    Ended(Ending, String),
    /// It could not be started, or not followed, for this reason.
    NotRun(String),
    /// It took too long, and was killed.
    Overdue(Duration),
}

impl Outcome {
    /// Why it did not do its work; `None` if it did.
    pub(super) fn failure(self, which: &str) -> Option<String> {
        match self {
            Self::Done => None,
            Self::Ended(_, reason) => Some(format!("the {which} command failed: {reason}")),
            Self::NotRun(reason) => Some(format!("the {which} command cannot be run: {reason}")),
            Self::Overdue(limit) => Some(format!(
                "the {which} command was killed, as it took longer than {} s",
                limit.as_secs_f32()
            )),
        }
    }
}

/// The output of what commands left behind.
pub(super) type Readers = JoinSet<()>;

/// A command that runs. What of it still runs is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Job {
    child: Child,
    /// `None` when it has ended.
    group: Option<Pid>,
    output: Option<Lines>,
    last_words: LastWords,
}

impl Job {
    /// Starts it. `heard`: its output is told.
    pub(super) fn start(line: &[OsString], context: &Context, heard: bool) -> Result<Self, Outcome> {
        let Some((program, words)) = line.split_first() else {
            return Err(Outcome::NotRun("it is empty; name a program".to_owned()));
        };
        let mut command = command(program, &context.name);
        command.args(words).process_group(0).stdin(Stdio::null());
        let not_run = |error: io::Error| Outcome::NotRun(spawn_failure(program, &error));
        let mut lines = None;
        if heard {
            let (write, read) = output().map_err(not_run)?;
            command.stdout(Stdio::from(write.try_clone().map_err(not_run)?)).stderr(Stdio::from(write));
            lines = Some(read);
        } else {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let child = command.spawn().map_err(not_run)?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, group, output: lines, last_words: LastWords::default() })
    }

    /// Waits for its end. It goes on when this is cancelled.
    pub(super) async fn wait(&mut self, context: &Context, readers: &mut Readers) -> Outcome {
        let status = loop {
            tokio::select! {
                status = self.child.wait() => break status,
                line = next(self.output.as_mut()) => self.heard(line, context),
            }
        };
        self.group = None;
        let ending = status.map(Ending::from);
        if !ending.as_ref().is_ok_and(|ending| ending.is_success()) {
            self.hear_last(context).await;
        }
        self.let_go(context, readers);
        match ending {
            Ok(ending) if ending.is_success() => Outcome::Done,
            Ok(ending) => Outcome::Ended(ending, format!("{ending}{}", self.last_words)),
            Err(error) => Outcome::NotRun(format!("its end was not told: {error}")),
        }
    }

    /// Waits for its end, and kills it if that takes too long.
    pub(super) async fn wait_within(
        &mut self,
        limit: Duration,
        context: &Context,
        readers: &mut Readers,
    ) -> Outcome {
        if let Ok(outcome) = timeout(limit, self.wait(context, readers)).await {
            return outcome;
        }
        self.signal(Signal::KILL);
        // What SIGKILL does not end hangs in the kernel, and is left there.
        let _ = timeout(GRACE, self.wait(context, readers)).await;
        Outcome::Overdue(limit)
    }

    /// Asks it to end, and kills it if it does not.
    pub(super) async fn end(mut self, context: &Context, readers: &mut Readers) {
        self.signal(Signal::TERM);
        self.wait_within(GRACE, context, readers).await;
    }

    /// Lets it go on without us.
    pub(super) fn leave(mut self) {
        self.group = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }

    fn heard(&mut self, line: Option<String>, context: &Context) {
        match line {
            Some(line) => {
                self.last_words.hear(&line);
                (context.tell)(Line::Output(&line));
            }
            None => self.output = None,
        }
    }

    /// Takes what it wrote last.
    async fn hear_last(&mut self, context: &Context) {
        let late = sleep(LAST_OUTPUT);
        tokio::pin!(late);
        while self.output.is_some() {
            tokio::select! {
                biased;
                line = next(self.output.as_mut()) => self.heard(line, context),
                () = &mut late => break,
            }
        }
    }

    /// What it left behind may write on, and whoever waits for its end does not wait for that.
    fn let_go(&mut self, context: &Context, readers: &mut Readers) {
        while readers.try_join_next().is_some() {}
        let Some(mut lines) = self.output.take() else { return };
        if readers.len() >= READERS {
            (context.tell)(Line::Warning("The output of what a command left behind is not followed"));
            return;
        }
        let tell = context.tell.clone();
        readers.spawn(async move {
            while let Some(line) = lines.next().await {
                tell(Line::Output(&line));
            }
        });
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

async fn next(output: Option<&mut Lines>) -> Option<String> {
    match output {
        Some(output) => output.next().await,
        None => std::future::pending().await,
    }
}
