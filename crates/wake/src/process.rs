//! What all programs have in common that we start: their environment, their output, how they end.

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

/// A longer line is told in pieces.
const LINE: usize = 4096;
/// How much of its last line is told with the reason for its end.
const LAST_WORDS: usize = 200;

/// Variables that the service manager meant for us alone.
const OURS: [&str; 14] = [
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
/// Beginnings of such variables.
const OUR_KINDS: [&str; 4] = ["LISTEN_", "WATCHDOG_", "MEMORY_PRESSURE_", "TRIGGER_"];

/// Our environment without what was meant for us, and with the name of the service that it is for.
pub(crate) fn environment(service: &str) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<_> = std::env::vars_os().filter(|(name, _)| !is_ours(name)).collect();
    variables.retain(|(name, _)| name != "DORMOUSE_SERVICE");
    variables.push(("DORMOUSE_SERVICE".into(), service.into()));
    variables
}

/// A program that is to have nothing of what is for us alone: our environment, our limit on descriptors.
pub(crate) fn command(program: &OsStr, service: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(environment(service));
    dormouse_sys::fd_limit::restore_for(command.as_std_mut());
    command
}

fn is_ours(name: &OsStr) -> bool {
    OURS.iter().any(|ours| name == *ours)
        || OUR_KINDS.iter().any(|kind| name.as_bytes().starts_with(kind.as_bytes()))
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself, with this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl Ending {
    /// Whether all went well.
    pub(crate) fn is_success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl From<ExitStatus> for Ending {
    fn from(status: ExitStatus) -> Self {
        status.signal().map_or_else(|| Self::Exited(status.code().unwrap_or_default()), Self::Killed)
    }
}

impl fmt::Display for Ending {
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

/// Those that end programs in practice; their numbers are the same on all architectures that matter here.
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

/// Why a program could not be started, and what to do about it.
pub(crate) fn spawn_failure(program: &OsStr, error: &io::Error) -> String {
    let path = program.as_bytes().contains(&b'/');
    let remedy = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) if path => {
            "check the path, and the interpreter in its first line if it is a script"
        }
        Some(Errno::NOENT) => "no directory of PATH has it: install it, or give its full path",
        Some(Errno::ACCESS) => {
            "make it executable (chmod +x) and reachable for the user that dormouse runs as"
        }
        Some(Errno::NOEXEC) => {
            "it is no program for this machine; a script needs a first line such as #!/bin/sh"
        }
        Some(Errno::AGAIN) => {
            "no more processes are allowed: end some, or raise the limit (TasksMax=, LimitNPROC=, ulimit -u, kernel.pid_max)"
        }
        Some(Errno::NOMEM) => "there is no memory left for another process: free some, or raise MemoryMax=",
        Some(Errno::MFILE | Errno::NFILE) => {
            "no descriptors are left: raise the limit (LimitNOFILE=, ulimit -n)"
        }
        Some(Errno::TOOBIG) => "its arguments and environment are too long",
        Some(Errno::TXTBSY) => "it is being written at this moment; try again when that is done",
        _ => "see whether it can be started by hand, as the user that dormouse runs as",
    };
    format!("{error}; {remedy}")
}

/// Where a program's output goes to: the end for the program, and the end that is read.
///
/// # Errors
/// When there are no descriptors left.
pub(crate) fn output() -> io::Result<(OwnedFd, Lines)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((write, Lines::new(Receiver::from_owned_fd(read)?)))
}

/// The lines that a program writes.
#[derive(Debug)]
pub(crate) struct Lines {
    pipe: Receiver,
    buffer: Vec<u8>,
    /// How much of the buffer was told already.
    told: usize,
    ended: bool,
}

impl Lines {
    fn new(pipe: Receiver) -> Self {
        Self { pipe, buffer: Vec::with_capacity(LINE), told: 0, ended: false }
    }

    /// The next line without its end; `None` when all that could write have ended. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.take() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            self.buffer.drain(..self.told);
            self.told = 0;
            let room = LINE.saturating_sub(self.buffer.len());
            // An error of a pipe is its end for us.
            self.ended =
                !matches!((&mut self.pipe).take(room as u64).read_buf(&mut self.buffer).await, Ok(1..));
        }
    }

    fn take(&mut self) -> Option<String> {
        let rest = self.buffer.get(self.told..).unwrap_or_default();
        let (line, used) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => (rest.get(..end).unwrap_or_default(), end + 1),
            None if rest.is_empty() => return None,
            None if self.ended || rest.len() >= LINE => (rest, rest.len()),
            None => return None,
        };
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
        self.told += used;
        Some(line)
    }
}

/// The last line that a program wrote, to be told with the reason for its end.
#[derive(Debug, Default)]
pub(crate) struct LastWords(String);

impl LastWords {
    /// Keeps a line.
    pub(crate) fn hear(&mut self, line: &str) {
        if !line.trim().is_empty() {
            self.0.clear();
            self.0.extend(line.trim().chars().take(LAST_WORDS));
        }
    }
}

impl fmt::Display for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; it last wrote {:?}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn lines_are_whole_bounded_and_lossy() {
        let (write, mut lines) = output().unwrap();
        let mut write = std::fs::File::from(write);
        let long = "x".repeat(LINE + 10);
        write.write_all(format!("one\r\n\ntwo\n{long}\n").as_bytes()).unwrap();
        write.write_all(b"\xff\nrest").unwrap();
        drop(write);
        let mut heard = Vec::new();
        while let Some(line) = lines.next().await {
            heard.push(line);
        }
        let expected = ["one", "", "two", &long[..LINE], "xxxxxxxxxx", "\u{fffd}", "rest"];
        assert_eq!(heard, expected);
    }

    #[test]
    fn what_was_meant_for_us_is_kept_from_children() {
        for name in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_USEC", "JOURNAL_STREAM"] {
            assert!(is_ours(name.as_ref()), "{name}");
        }
        for name in ["PATH", "HOME", "LISTENER", "DORMOUSE_SERVICE"] {
            assert!(!is_ours(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn endings() {
        assert_eq!(Ending::Killed(9).to_string(), "it was killed by SIGKILL");
        assert_eq!(Ending::Killed(40).to_string(), "it was killed by signal 40");
        assert_eq!(Ending::Exited(3).to_string(), "it exited with code 3");
    }
}
