//! Programs under measurement: the same few steps from the bench to each of them.

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::{
        fd::{AsRawFd as _, IntoRawFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
};

use super::{Running, die_with_parent, log_file, monotonic, own_path};
use crate::error::{Doing, Error, Result};

/// The number that `LISTEN_FDS` counts from.
const FIRST_PASSED: i32 = 3;
/// Asks [`launch`] for the moment of the exec.
const STAMP: &str = "DORMOUSE_BENCH_STAMP";

/// How to start a program under measurement.
pub(crate) struct Start<'a> {
    pub(crate) name: &'a str,
    pub(crate) command: Command,
    /// Becomes the program's descriptor 3.
    pub(crate) listener: Option<OwnedFd>,
    /// Its stdout and stderr; /dev/null when it may storm.
    pub(crate) log: PathBuf,
}

/// Starts a program by way of [`launch`].
/// With `stamp` the moment just before its exec can be read from the pipe returned.
pub(crate) fn start(start: Start<'_>, stamp: bool) -> Result<(Running, Option<ChildStdout>)> {
    let Start { name, command, listener, log } = start;
    let log_file = log_file(&log)?;
    let mut launcher = Command::new(own_path()?);
    launcher
        .arg("launch")
        .arg(if listener.is_some() { "pass" } else { "-" })
        .arg(command.get_program())
        .args(command.get_args());
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            launcher.env(key, value);
        }
    }
    launcher.stdin(listener.map_or_else(Stdio::null, Stdio::from));
    launcher.stderr(log_file.try_clone().doing(|| "copy a descriptor".into())?);
    launcher.stdout(if stamp { Stdio::piped() } else { Stdio::from(log_file) });
    if stamp {
        launcher.env(STAMP, "1");
    }
    let mut child = launcher.spawn().doing(|| format!("start {name}"))?;
    let stamps = child.stdout.take();
    Ok((Running { name: name.to_owned(), child, log }, stamps))
}

/// The last step before a program under measurement, the same for all: ties its life to the bench's, puts
/// the listening socket at descriptor 3 as a service manager would, and becomes the program.
pub(crate) fn launch(mut args: impl Iterator<Item = OsString>) -> Result<()> {
    die_with_parent()?;
    let pass = args.next().is_some_and(|how| how == "pass");
    let program = args.next().ok_or_else(|| Error::Usage("launch needs a program".into()))?;
    let mut command = Command::new(&program);
    command.args(args);
    if pass {
        pass_stdin_on()?;
        command.env("LISTEN_FDS", "1").env("LISTEN_PID", std::process::id().to_string());
    }
    if env::var_os(STAMP).is_some() {
        command.env_remove(STAMP);
        println!("{}", monotonic().as_nanos());
    }
    Err(command.exec()).doing(|| format!("execute {}", Path::new(&program).display()))
}

fn pass_stdin_on() -> Result<()> {
    let passed =
        rustix::io::fcntl_dupfd_cloexec(io::stdin(), FIRST_PASSED).doing(|| "copy the listener".into())?;
    if passed.as_raw_fd() != FIRST_PASSED {
        return Err(Error::Protocol("descriptor 3 is in use: start the bench with 3>&-".into()));
    }
    rustix::io::fcntl_setfd(&passed, rustix::io::FdFlags::empty()).doing(|| "pass the listener on".into())?;
    // It stays open for the program that this process becomes.
    let _ = passed.into_raw_fd();
    let null = fs::File::open("/dev/null").doing(|| "open /dev/null".into())?;
    rustix::stdio::dup2_stdin(null).doing(|| "replace stdin".into())
}
