//! Child processes: their environment, their output, and how they end.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Command;

/// The longest line of output, in bytes. A longer line is split.
const MAX_LINE: usize = 4096;
/// The number of characters of the last line that an error message quotes.
const MAX_LAST_LINE: usize = 200;

/// Environment variables that concern dormouse alone.
const PRIVATE_VARIABLES: [&str; 14] = [
    "NOTIFY_SOCKET",
    "JOURNAL_STREAM",
    "INVOCATION_ID",
    "MAINPID",
    "MANAGERPID",
    "MANAGERPIDFDID",
    "SYSTEMD_EXEC_PID",
    "SYSTEMD_ACTIVATION_UNIT",
    "SYSTEMD_ACTIVATION_SCOPE",
    "FDSTORE",
    "PIDFILE",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "DORMOUSE_RUN",
];
/// The prefixes of further such variables.
const PRIVATE_PREFIXES: [&str; 4] = ["LISTEN_", "WATCHDOG_", "MEMORY_PRESSURE_", "TRIGGER_"];

/// Returns the environment of dormouse without its private variables, with the name of the service added.
pub(crate) fn environment(service: &str) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<_> = std::env::vars_os().filter(|(name, _)| !is_private(name)).collect();
    variables.retain(|(name, _)| name != "DORMOUSE_SERVICE");
    variables.push(("DORMOUSE_SERVICE".into(), service.into()));
    variables
}

/// Returns a command that inherits neither the private variables nor the raised descriptor limit of dormouse.
pub(crate) fn new_command(program: &OsStr, service: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(environment(service));
    dormouse_sys::fd_limit::restore_for(command.as_std_mut());
    command
}

/// Quotes a command as a user would type it into a shell.
#[must_use]
pub fn command_line(argv: &[OsString]) -> String {
    let word = |word: &OsString| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else if word.chars().any(char::is_control) {
            format!("{word:?}")
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn is_private(name: &OsStr) -> bool {
    PRIVATE_VARIABLES.iter().any(|private| name == *private)
        || PRIVATE_PREFIXES.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
}

/// How a process terminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Termination {
    /// It exited with this code.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
}

impl Termination {
    /// Returns whether the process exited with code 0.
    pub(crate) fn is_success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl From<ExitStatus> for Termination {
    fn from(status: ExitStatus) -> Self {
        status.signal().map_or_else(|| Self::Exited(status.code().unwrap_or_default()), Self::Killed)
    }
}

impl fmt::Display for Termination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exited(code) => write!(f, "it exited with code {code}"),
            Self::Killed(signal) => match signal_name(signal) {
                Some(name) => write!(f, "it was killed by {name}"),
                None => write!(f, "it was killed by signal {signal}"),
            },
        }
    }
}

/// Returns the name of a signal that commonly kills processes.
///
/// These signals have the same number on all supported architectures.
pub(crate) fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// Describes why a program could not be started, and what the user can do about it.
pub(crate) fn spawn_failure(program: &OsStr, error: &io::Error) -> String {
    let path = program.as_bytes().contains(&b'/');
    let remedy = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) if path => {
            "check the path, and the interpreter in its first line if it is a script"
        }
        Some(Errno::NOENT) => "it is in no directory of PATH; install it or write its full path",
        Some(Errno::ACCESS) => "make it executable (chmod +x) and accessible to dormouse's user",
        Some(Errno::NOEXEC) => {
            "it is not a program for this machine; a script needs a first line such as #!/bin/sh"
        }
        Some(Errno::AGAIN) => {
            "the limit of processes is reached; raise it (TasksMax=, LimitNPROC=, ulimit -u, kernel.pid_max)"
        }
        Some(Errno::NOMEM) => "out of memory; free some or raise MemoryMax=",
        Some(Errno::MFILE | Errno::NFILE) => {
            "the limit of descriptors is reached; raise it (LimitNOFILE=, ulimit -n)"
        }
        Some(Errno::TOOBIG) => "shorten its arguments and environment",
        Some(Errno::TXTBSY) => "its file is open for writing; try again when it is closed",
        _ => "try to start it by hand as dormouse's user",
    };
    format!("{error}; {remedy}")
}

/// Returns a pipe for the output of a program: the end for the program, and a reader of lines.
///
/// # Errors
/// When no descriptors are left.
pub(crate) fn output_pipe() -> io::Result<(OwnedFd, OutputLines)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((write, OutputLines::new(Receiver::from_owned_fd(read)?)))
}

/// The lines that a program writes.
#[derive(Debug)]
pub(crate) struct OutputLines {
    pipe: Receiver,
    buffer: Vec<u8>,
    /// The number of bytes of the buffer that were returned already.
    consumed: usize,
    ended: bool,
}

impl OutputLines {
    fn new(pipe: Receiver) -> Self {
        Self { pipe, buffer: Vec::with_capacity(MAX_LINE), consumed: 0, ended: false }
    }

    /// Returns the next line, without its line feed; `None` when all writers have closed the pipe.
    ///
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.take() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
            let capacity = MAX_LINE.saturating_sub(self.buffer.len());
            // An error of the pipe counts as its end.
            self.ended =
                !matches!((&mut self.pipe).take(capacity as u64).read_buf(&mut self.buffer).await, Ok(1..));
        }
    }

    fn take(&mut self) -> Option<String> {
        let rest = self.buffer.get(self.consumed..).unwrap_or_default();
        let (line, used) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => (rest.get(..end).unwrap_or_default(), end + 1),
            None if rest.is_empty() => return None,
            None if self.ended || rest.len() >= MAX_LINE => (rest, rest.len()),
            None => return None,
        };
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
        self.consumed += used;
        Some(line)
    }
}

/// Returns the next line of the output; never without one.
pub(crate) async fn next_line(output: Option<&mut OutputLines>) -> Option<String> {
    match output {
        Some(output) => output.next().await,
        None => std::future::pending().await,
    }
}

/// The last line that a program wrote, for the error message about its end.
#[derive(Debug, Default)]
pub(crate) struct LastLine(String);

impl LastLine {
    /// Keeps a line, unless it is blank.
    pub(crate) fn update(&mut self, line: &str) {
        if !line.trim().is_empty() {
            self.0.clear();
            self.0.extend(line.trim().chars().take(MAX_LAST_LINE));
        }
    }
}

impl fmt::Display for LastLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; its last output was {:?}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn lines_are_bounded_and_lossy() {
        let (write, mut lines) = output_pipe().unwrap();
        let mut write = std::fs::File::from(write);
        let long = "x".repeat(MAX_LINE + 10);
        write.write_all(format!("one\r\n\ntwo\n{long}\n").as_bytes()).unwrap();
        write.write_all(b"\xff\nrest").unwrap();
        drop(write);
        let mut read = Vec::new();
        while let Some(line) = lines.next().await {
            read.push(line);
        }
        let expected = ["one", "", "two", &long[..MAX_LINE], "xxxxxxxxxx", "\u{fffd}", "rest"];
        assert_eq!(read, expected);
    }

    #[test]
    fn private_variables_are_not_inherited() {
        for name in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_USEC", "JOURNAL_STREAM"] {
            assert!(is_private(name.as_ref()), "{name}");
        }
        for name in ["PATH", "HOME", "LISTENER", "DORMOUSE_SERVICE"] {
            assert!(!is_private(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn terminations_are_described() {
        assert_eq!(Termination::Killed(9).to_string(), "it was killed by SIGKILL");
        assert_eq!(Termination::Killed(40).to_string(), "it was killed by signal 40");
        assert_eq!(Termination::Exited(3).to_string(), "it exited with code 3");
    }
}
