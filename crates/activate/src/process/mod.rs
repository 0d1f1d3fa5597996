//! Child processes: how they are started and how they end.

mod children;
mod environment;
mod held;
mod own_child;
mod signals;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use rustix::io::Errno;

pub(crate) use self::children::children;
pub(crate) use self::environment::{base_environment, environment};
pub(crate) use self::held::{HeldProcess, parse_pid, parse_stat};
pub use self::own_child::reap_adopted;
pub(crate) use self::own_child::{LastingChild, OwnChild};
pub(crate) use self::signals::handled_signals;

/// Returns a command that inherits neither the private variables nor the raised descriptor limit of dormouse.
pub(crate) fn new_command(program: &OsStr, service: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(environment(service));
    dormouse_sys::fd_limit::restore_for(&mut command);
    dormouse_sys::identity::drop_inherited_capabilities(&mut command);
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

/// Describes a limit of descriptors (`RLIMIT_NOFILE`) that is too low to start a program.
pub(crate) fn too_few_descriptors(limit: u64, needed: u64) -> String {
    format!(
        "the limit of {limit} descriptors is too low to watch over its processes, which needs {needed}; raise it (LimitNOFILE=, \
         ulimit -Hn)"
    )
}

/// Describes why a program could not be started, and what the user can do about it. `user` is the user that the program
/// runs as, if it is not that of dormouse.
pub(crate) fn spawn_failure(program: &OsStr, user: Option<&str>, error: &io::Error) -> String {
    if error.raw_os_error().is_none() {
        // It does not come from the system, and contains its remedy.
        return error.to_string();
    }
    let path = program.as_bytes().contains(&b'/');
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let remedy = match (errno, user) {
        (Some(Errno::PERM), Some(user)) => {
            return format!(
                "{error}; dormouse may not start a program as user {user}; run it as root, or with CAP_SETUID, \
                 CAP_SETGID and CAP_KILL"
            );
        }
        (Some(Errno::INVAL), Some(user)) => {
            return format!(
                "{error}; the user {user} has no number in dormouse's user namespace; map it, or name another"
            );
        }
        (Some(Errno::ACCESS), Some(user)) => {
            return format!("{error}; make it executable (chmod +x) and accessible to user {user}");
        }
        _ => errno,
    };
    let remedy = match remedy {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_that_cannot_be_taken_is_reported_with_a_remedy() {
        let error = Errno::PERM.into();
        assert!(spawn_failure("sh".as_ref(), Some("web"), &error).contains("as user web; run it as root"));
        assert!(spawn_failure("sh".as_ref(), None, &error).contains("by hand"));
        let error = Errno::INVAL.into();
        assert!(spawn_failure("sh".as_ref(), Some("web"), &error).contains("the user web has no number"));
    }

    #[test]
    fn terminations_are_described() {
        assert_eq!(Termination::Killed(9).to_string(), "it was killed by SIGKILL");
        assert_eq!(Termination::Killed(40).to_string(), "it was killed by signal 40");
        assert_eq!(Termination::Exited(3).to_string(), "it exited with code 3");
    }
}
