//! `dormouse reload`: makes `dormouse run` read its configuration again.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::process::ExitCode;

use dormouse_core::getopt::{Arg, OptSpec, Tier};
use dormouse_sys::notify::Notifier;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::flags::{self, Definition, Stop};
use super::out;

/// A flag of `dormouse reload`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReloadFlag {
    Pid,
    Help,
}

/// The flags of `dormouse reload`.
pub(crate) const RELOAD: &[Definition<ReloadFlag>] = &[
    Definition {
        flag: ReloadFlag::Pid,
        spec: OptSpec { short: None, long: "pid", arg: Arg::Required, tier: Tier::Extension },
        value: "PID",
        help: &["Signal this process [default: the only dormouse run of this user]"],
        manual: "Signal this process. [default: that of MAINPID, which is set in ExecReload=, or else the only dormouse run of \
                 this user]",
    },
    flags::for_help(ReloadFlag::Help),
];

pub(super) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let pid_argument = match parse(args) {
        Ok(pid_argument) => pid_argument,
        Err(stop) => return stop.exit(&help()),
    };
    // In ExecReload= the service manager waits until the reloaded process reports READY=1. Outside of it there is no
    // manager to notify.
    let manager = std::env::var_os("MAINPID").and_then(|_| Notifier::from_env());
    let reloaded =
        pid_argument.map_or_else(find, Ok).and_then(|pid| hang_up(pid, manager.as_ref()).map(|()| pid));
    match reloaded {
        Ok(pid) => out::print(format_args!(
            "Process {pid} reads its configuration again; its log reports what has changed.\n"
        )),
        Err(error) => out::fail(error),
    }
}

/// Returns the process that the command line names.
fn parse(args: impl Iterator<Item = OsString>) -> Result<Option<Pid>, Stop> {
    let mut pid_argument = None;
    let words = flags::read("dormouse reload", RELOAD, args, |flag, value| {
        match flag {
            ReloadFlag::Help => return Err(Stop::Help),
            ReloadFlag::Pid => {
                let pid = value.to_str().and_then(parse_pid);
                let wrong = || {
                    Stop::Wrong(format!(
                        "--pid: {value:?} is not a process number; write for example --pid=1234"
                    ))
                };
                pid_argument = Some(pid.ok_or_else(wrong)?);
            }
        }
        Ok(())
    })?;
    match words.first() {
        None => Ok(pid_argument),
        Some(word) => Err(Stop::Wrong(format!(
            "Unexpected argument {word:?}: dormouse reload takes none; see dormouse reload --help."
        ))),
    }
}

fn parse_pid(text: &str) -> Option<Pid> {
    text.parse().ok().filter(|pid| *pid > 0).and_then(Pid::from_raw)
}

/// The reason why nothing was reloaded.
#[derive(Debug)]
enum ReloadError {
    /// No process was found.
    None,
    /// Several processes were found.
    Several(Vec<Pid>),
    /// The process is another program.
    Other(Pid),
    /// The signal cannot be sent.
    Signal(Pid, Errno),
    /// Processes cannot be listed.
    Proc(io::Error),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => {
                f.write_str("No dormouse run is running as this user; start one, or name it with --pid=PID.")
            }
            Self::Several(pids) => {
                let pids: Vec<_> = pids.iter().map(ToString::to_string).collect();
                write!(f, "Several processes are dormouse run: {}; name one with --pid=PID.", pids.join(", "))
            }
            Self::Other(pid) => {
                write!(f, "Process {pid} is not dormouse run, and the signal could end it; check the number.")
            }
            Self::Signal(pid, Errno::PERM) => {
                write!(f, "Process {pid} belongs to another user; run this as root, or use systemctl reload.")
            }
            Self::Signal(pid, error) => write!(f, "Process {pid} cannot be signalled: {error}"),
            Self::Proc(error) => {
                write!(f, "Processes cannot be listed: {error}; name one with --pid=PID.")
            }
        }
    }
}

/// Returns the process to signal if none is named.
fn find() -> Result<Pid, ReloadError> {
    if let Some(main) = std::env::var("MAINPID").ok().as_deref().and_then(parse_pid) {
        return Ok(main);
    }
    let uid = rustix::process::geteuid().as_raw();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(ReloadError::Proc)?.flatten() {
        use std::os::unix::fs::MetadataExt;
        let pid = entry.file_name().to_str().and_then(parse_pid);
        // Only processes of this user count, also for root.
        let is_own = entry.metadata().is_ok_and(|metadata| metadata.uid() == uid);
        found.extend(pid.filter(|pid| is_own && is_run(*pid)));
    }
    match found.as_slice() {
        [] => Err(ReloadError::None),
        [only] => Ok(*only),
        _ => Err(ReloadError::Several(found)),
    }
}

/// Returns whether the process was started as `dormouse run`.
fn is_run(pid: Pid) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut words = line.split(|byte| *byte == 0);
    let program = words.next().and_then(|word| word.rsplit(|byte| *byte == b'/').next());
    program == Some(b"dormouse") && words.next() == Some(b"run")
}

/// Sends SIGHUP to the process, and announces the reload to the service manager.
fn hang_up(pid: Pid, manager: Option<&Notifier>) -> Result<(), ReloadError> {
    let failed = |error| ReloadError::Signal(pid, error);
    // The pidfd keeps the number from being reused during the check.
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(failed)?;
    if !is_run(pid) {
        return Err(ReloadError::Other(pid));
    }
    // Before the signal, so that it precedes the READY=1 of the other process.
    let notify = |state| manager.into_iter().for_each(|manager| manager.send_blocking(state));
    notify("RELOADING=1");
    pidfd_send_signal(&process, Signal::HUP).map_err(|error| {
        notify("READY=1");
        failed(error)
    })
}

fn help() -> String {
    format!(
        "dormouse reload [--pid=PID]\n\n\
         Make a running dormouse read its configuration again (SIGHUP). What did not change is not interrupted. If the\n\
         configuration has errors, nothing changes, and the log of the process reports them.\n\n\
         {}\n\
         See dormouse-run(8).\n",
        flags::help(RELOAD)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dormouse_is_signalled() {
        let own = rustix::process::getpid();
        assert!(matches!(hang_up(own, None), Err(ReloadError::Other(pid)) if pid == own));
    }

    #[test]
    fn numbers_of_processes() {
        assert!(parse_pid("17").is_some());
        for text in ["0", "-1", "", "x", "99999999999"] {
            assert!(parse_pid(text).is_none(), "{text}");
        }
    }

    #[test]
    fn words_and_junk_are_errors() {
        for args in [&["--pid=x"][..], &["--pid"], &["now"], &["--other"]] {
            assert!(parse(args.iter().map(OsString::from)).is_err(), "{args:?}");
        }
    }
}
