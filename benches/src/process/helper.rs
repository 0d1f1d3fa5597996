//! Helper processes: clients and backends. They are separate processes so that their CPU time is counted separately.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    path::PathBuf,
    process::{ChildStdout, Command, Stdio},
    time::Duration,
};

use super::{
    running::{Running, log_file, own_executable},
    wait::wait_readable,
};
use crate::error::{Error, ErrorContext, Result};

/// A helper process, controlled through lines on its standard input and output.
pub(crate) struct Helper {
    running: Running,
    output: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts `dormouse-bench ARGS…`.
    pub(crate) fn start(args: &[String], log: PathBuf) -> Result<Self> {
        let name = args.join(" ");
        let log_file = log_file(&log)?;
        let mut child = Command::new(own_executable()?)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .context(|| format!("start {name}"))?;
        let output =
            child.stdout.take().ok_or_else(|| Error::Protocol("a helper has no standard output".into()))?;
        Ok(Self { running: Running { name, child, log }, output: BufReader::new(output) })
    }

    /// Waits for the next line.
    pub(crate) fn line(&mut self, timeout: Duration) -> Result<String> {
        let awaited = || format!("a line from {}", self.running.name);
        if self.output.buffer().is_empty() {
            wait_readable(self.output.get_ref(), timeout, awaited)?;
        }
        let mut line = String::new();
        // Helpers write whole lines, so the rest of the line follows the first byte.
        self.output.read_line(&mut line).context(|| format!("read from {}", self.running.name))?;
        if line.is_empty() {
            let _ = self.running.child.wait();
            self.running.check()?;
        }
        Ok(line.trim_end().to_owned())
    }

    /// Waits for a line that starts with the word and returns the rest of the line.
    pub(crate) fn expect(&mut self, word: &str, timeout: Duration) -> Result<String> {
        let line = self.line(timeout)?;
        line.strip_prefix(word).map(|rest| rest.trim_start().to_owned()).ok_or_else(|| {
            Error::Protocol(format!("{}: got the line `{line}` instead of `{word}`", self.running.name))
        })
    }

    /// Lets the helper continue.
    pub(crate) fn go(&mut self) -> Result<()> {
        let pipe = self
            .running
            .child
            .stdin
            .as_mut()
            .ok_or_else(|| Error::Protocol("a helper has no standard input".into()))?;
        pipe.write_all(b"go\n").context(|| format!("write to {}", self.running.name))
    }
}

/// Prints a line for the benchmark, in a helper.
pub(crate) fn send_line(line: &str) -> Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).context(|| "write to the benchmark".into())
}

/// Waits for [`Helper::go`], in a helper.
pub(crate) fn wait_for_go() -> Result<()> {
    let mut line = [0; 3];
    io::stdin().read_exact(&mut line).context(|| "read from the benchmark".into())
}
