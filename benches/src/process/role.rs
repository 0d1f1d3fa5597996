//! The bench's own processes, clients and backends: apart from it, so that their CPU time is, too.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    path::PathBuf,
    process::{ChildStdout, Command, Stdio},
    time::Duration,
};

use super::{Running, log_file, own_path, readable};
use crate::error::{Doing, Error, Result};

/// One of the bench's own processes, spoken with in lines.
pub(crate) struct Role {
    running: Running,
    output: BufReader<ChildStdout>,
}

impl Role {
    /// Starts `dormouse-bench ARGS…`.
    pub(crate) fn start(args: &[String], log: PathBuf) -> Result<Self> {
        let name = args.join(" ");
        let log_file = log_file(&log)?;
        let mut child = Command::new(own_path()?)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .doing(|| format!("start {name}"))?;
        let output = child.stdout.take().ok_or_else(|| Error::Protocol("a role without output".into()))?;
        Ok(Self { running: Running { name, child, log }, output: BufReader::new(output) })
    }

    /// The next line.
    pub(crate) fn line(&mut self, at_most: Duration) -> Result<String> {
        let awaited = || format!("word from `{}`", self.running.name);
        if self.output.buffer().is_empty() {
            readable(self.output.get_ref(), at_most, awaited)?;
        }
        let mut line = String::new();
        // Roles write whole lines: once the first byte is here, the rest is, too.
        self.output.read_line(&mut line).doing(|| format!("read from {}", self.running.name))?;
        if line.is_empty() {
            let _ = self.running.child.wait();
            self.running.check()?;
        }
        Ok(line.trim_end().to_owned())
    }

    /// Waits for a line that begins with the word and returns what follows it.
    pub(crate) fn expect(&mut self, word: &str, at_most: Duration) -> Result<String> {
        let line = self.line(at_most)?;
        line.strip_prefix(word)
            .map(|rest| rest.trim_start().to_owned())
            .ok_or_else(|| Error::Protocol(format!("`{}` said `{line}`, not `{word}`", self.running.name)))
    }

    /// Lets the role take its next step.
    pub(crate) fn go(&mut self) -> Result<()> {
        let pipe = self
            .running
            .child
            .stdin
            .as_mut()
            .ok_or_else(|| Error::Protocol("a role without input".into()))?;
        pipe.write_all(b"go\n").doing(|| format!("write to {}", self.running.name))
    }
}

/// Says a line to the bench, in the role.
pub(crate) fn say(line: &str) -> Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).doing(|| "write to the bench".into())
}

/// Waits for [`Role::go`], in the role.
pub(crate) fn await_go() -> Result<()> {
    let mut line = [0; 3];
    io::stdin().read_exact(&mut line).doing(|| "wait for the bench".into())
}
