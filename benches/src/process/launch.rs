//! Starts programs under test, all in the same way.

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

use super::{
    running::{Running, die_with_parent, log_file, own_executable},
    wait::monotonic,
};
use crate::error::{Error, ErrorContext, Result};

/// The first descriptor of `LISTEN_FDS`.
const LISTEN_FDS_START: i32 = 3;
/// The variable that makes [`launch`] print the time of the exec.
const STAMP: &str = "DORMOUSE_BENCH_STAMP";

/// How to start a program under test.
pub(crate) struct Start<'a> {
    pub(crate) name: &'a str,
    pub(crate) command: Command,
    /// The listener, which becomes descriptor 3 of the program.
    pub(crate) listener: Option<OwnedFd>,
    /// The file for stdout and stderr.
    pub(crate) log: PathBuf,
}

/// Starts a program through [`launch`]. With `stamp`, the returned pipe contains the time just before the exec.
pub(crate) fn start(start: Start<'_>, stamp: bool) -> Result<(Running, Option<ChildStdout>)> {
    let Start { name, command, listener, log } = start;
    let log_file = log_file(&log)?;
    let mut launcher = Command::new(own_executable()?);
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
    launcher.stderr(log_file.try_clone().context(|| "duplicate a descriptor".into())?);
    launcher.stdout(if stamp { Stdio::piped() } else { Stdio::from(log_file) });
    if stamp {
        launcher.env(STAMP, "1");
    }
    let mut child = launcher.spawn().context(|| format!("start {name}"))?;
    let stamps = child.stdout.take();
    Ok((Running { name: name.to_owned(), child, log }, stamps))
}

/// Executes a program under test: sets the parent death signal, passes the listener as descriptor 3 like a service
/// manager, and replaces this process with the program.
pub(crate) fn launch(mut args: impl Iterator<Item = OsString>) -> Result<()> {
    die_with_parent()?;
    let pass = args.next().is_some_and(|how| how == "pass");
    let program = args.next().ok_or_else(|| Error::Usage("launch: missing program".into()))?;
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
    Err(command.exec()).context(|| format!("execute {}", Path::new(&program).display()))
}

fn pass_stdin_on() -> Result<()> {
    let passed = rustix::io::fcntl_dupfd_cloexec(io::stdin(), LISTEN_FDS_START)
        .context(|| "duplicate the listener".into())?;
    if passed.as_raw_fd() != LISTEN_FDS_START {
        return Err(Error::Protocol("descriptor 3 is in use; start the benchmark with 3>&-".into()));
    }
    rustix::io::fcntl_setfd(&passed, rustix::io::FdFlags::empty()).context(|| "pass the listener".into())?;
    // The descriptor stays open across the exec.
    let _ = passed.into_raw_fd();
    let null = fs::File::open("/dev/null").context(|| "open /dev/null".into())?;
    rustix::stdio::dup2_stdin(null).context(|| "replace stdin".into())
}
