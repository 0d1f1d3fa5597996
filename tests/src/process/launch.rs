//! Starts the program under test.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};

use super::{Output, Running};
use crate::failure::Doing;
use crate::temp::TempDir;
use crate::{Failure, Result, Subject, notify};

/// The first descriptor that a service manager passes on.
const FIRST_PASSED: i32 = 3;

/// The id of the user `nobody`.
const NOBODY: u32 = 65534;

/// The default soft limit of descriptors that a service manager sets for its services.
const DEFAULT_NOFILE: u64 = 1024;

/// The script that executes the program under test. It sets the attributes that only the process itself can set:
/// its limits, `LISTEN_PID` and its name. It also closes inherited descriptors above the passed ones.
const EXEC_SCRIPT: &str = r#"
[ -z "$T_SOFT" ] || { ulimit -S -n "$T_SOFT" && { [ -z "$T_HARD" ] || ulimit -H -n "$T_HARD"; }; } || exit 99
[ -z "$T_NPROC" ] || ulimit -u "$T_NPROC" || exit 99
[ -z "$T_IGNORE_SIGPIPE" ] || trap '' PIPE
[ -z "$T_PID" ] || { printf -v LISTEN_PID -- "$T_PID" $$; export LISTEN_PID; }
for fd in /proc/$$/fd/*; do
  fd=${fd##*/}
  [ "$fd" -le "$T_LAST" ] || eval "exec $fd>&-"
done
name=$T_NAME
unset fd T_LAST T_SOFT T_HARD T_PID T_NAME T_IGNORE_SIGPIPE T_NPROC
exec -a "$name" "$0" "$@"
"#;

/// The name under which dormouse is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvokedAs {
    /// Through a link named `systemd-socket-proxyd`. systemd-socket-proxyd itself always has this name.
    AsSocketProxyd,
    /// As `dormouse`; the first argument is a subcommand.
    AsDormouse,
}

/// The value of `LISTEN_PID` for the program under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenPid {
    /// Its own process id, which is correct.
    Own,
    /// Its own process id in this format of printf(1).
    Spelled(&'static str),
    /// The variable is not set.
    Unset,
    /// This text.
    Text(String),
}

/// The settings for starting the program under test. By default its name is systemd-socket-proxyd, its environment
/// contains only `PATH`, and it inherits no descriptor except its standard streams.
#[derive(Debug)]
#[must_use]
pub struct Launch {
    subject: Subject,
    invoked_as: InvokedAs,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    passed: Vec<OwnedFd>,
    error: Option<Failure>,
    listen_fds: Option<String>,
    listen_pid: ListenPid,
    nofile: (u64, Option<u64>),
    uid: Option<u32>,
    nproc: Option<u32>,
    ignore_sigpipe: bool,
    first_process: bool,
    directory: Option<PathBuf>,
    dropped: Option<&'static str>,
}

impl Launch {
    /// A launch of `subject` under the name systemd-socket-proxyd.
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
            invoked_as: InvokedAs::AsSocketProxyd,
            args: Vec::new(),
            env: Vec::new(),
            passed: Vec::new(),
            error: None,
            listen_fds: None,
            listen_pid: ListenPid::Own,
            nofile: (DEFAULT_NOFILE, None),
            uid: None,
            nproc: None,
            ignore_sigpipe: false,
            first_process: false,
            directory: None,
            dropped: None,
        }
    }

    /// A launch of dormouse under its own name; add the subcommand as the first argument.
    pub fn dormouse() -> Self {
        Self { invoked_as: InvokedAs::AsDormouse, ..Self::new(Subject::Dormouse) }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable. `LISTEN_FDS` and `LISTEN_PID` have methods of their own.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Runs it as the first process of a PID namespace, as in a container; needs root. The process that the test has
    /// started is its parent, outside of the namespace.
    pub fn first_process(mut self) -> Self {
        self.first_process = true;
        self
    }

    /// Runs it in this working directory.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Passes a duplicate of `socket` as the next descriptor, starting at 3; the caller keeps its own, as a service
    /// manager does.
    pub fn pass(mut self, socket: &impl AsFd) -> Self {
        match socket.as_fd().try_clone_to_owned() {
            Ok(fd) => self.passed.push(fd),
            Err(error) => self.error = Some(Failure::io("duplicate a socket to pass", error)),
        }
        self
    }

    /// Starts it with SIGPIPE ignored, as a service manager does (`IgnoreSIGPIPE=`, systemd.exec(5)).
    pub fn ignore_sigpipe(mut self) -> Self {
        self.ignore_sigpipe = true;
        self
    }

    /// Gives the passed descriptors names, joined as `LISTEN_FDNAMES` has them.
    pub fn names(self, names: &str) -> Self {
        self.env("LISTEN_FDNAMES", names)
    }

    /// Sets `LISTEN_FDS` to another value than the number of passed descriptors.
    pub fn listen_fds(mut self, text: &str) -> Self {
        self.listen_fds = Some(text.to_owned());
        self
    }

    /// Sets `LISTEN_PID` to another value than the process id of the program.
    pub fn listen_pid(mut self, pid: ListenPid) -> Self {
        self.listen_pid = pid;
        self
    }

    /// Sets the socket for notifications.
    pub fn notify(self, manager: &notify::Manager) -> Self {
        self.env("NOTIFY_SOCKET", manager.name())
    }

    /// Sets the soft and hard limit of descriptors instead of the default soft limit of 1024.
    pub fn nofile(mut self, soft: u64, hard: u64) -> Self {
        self.nofile = (soft, Some(hard));
        self
    }

    /// Runs it as this user, with the group of the same number and without privileges. Needs root.
    pub fn uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// Runs it without privileges: as the user nobody if the tests run as root, and as their own user otherwise.
    pub fn unprivileged(self) -> Self {
        if rustix::process::geteuid().is_root() { self.uid(NOBODY) } else { self }
    }

    /// Runs it as root without these capabilities, as `setpriv --bounding-set` takes them: `-kill`. Needs root.
    pub fn root_without(mut self, names: &'static str) -> Self {
        self.dropped = Some(names);
        self
    }

    /// Limits the number of processes and threads of its user. The limit does not apply to root.
    pub fn nproc(mut self, most: u32) -> Self {
        self.nproc = Some(most);
        self
    }

    /// Starts the program. When this returns, the process may not have executed the program yet; wait for its
    /// sockets or output.
    ///
    /// # Errors
    /// When the program or a tool that starts it (bash, env, setpriv) is missing, or the process cannot be made.
    pub fn start(mut self) -> Result<Running> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let (program, dir) = self.place()?;
        let argv0 = program.to_string_lossy().into_owned();
        let mut command = self.command(&program)?;
        let mappings = std::mem::take(&mut self.passed)
            .into_iter()
            .zip(FIRST_PASSED..)
            .map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd })
            .collect();
        command
            .fd_mappings(mappings)
            .map_err(|_| Failure::Unexpected("two passed descriptors have the same number".to_owned()))?;
        let mut child = command.spawn().doing(|| format!("start {argv0} through bash"))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Failure::Unexpected("a child without its pipes".to_owned()));
        };
        Ok(Running {
            child,
            argv0,
            stdout: Output::collect("standard output", stdout),
            stderr: Output::collect("standard error", stderr),
            _dir: dir,
        })
    }

    fn command(&self, program: &Path) -> Result<Command> {
        // A shell that runs the tests in the background may have set SIGINT to be ignored.
        let mut command = Command::new("env");
        command.arg("--default-signal");
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if self.first_process {
            command.args(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        }
        if let Some(names) = &self.dropped {
            command.args(["setpriv", "--inh-caps=-all"]).arg(format!("--bounding-set={names}"));
        }
        if let Some(uid) = self.uid {
            self.through_setpriv(uid, &mut command)?;
        }
        command.env_clear();
        for variable in ["PATH", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(variable) {
                command.env(variable, value);
            }
        }
        command.args(["bash", "--norc", "-c", EXEC_SCRIPT]).arg(program).args(&self.args);
        command.env("T_NAME", program).env("T_LAST", (2 + self.passed.len()).to_string());
        let (soft, hard) = self.nofile;
        command.env("T_SOFT", soft.to_string());
        if let Some(hard) = hard {
            command.env("T_HARD", hard.to_string());
        }
        if let Some(most) = self.nproc {
            command.env("T_NPROC", most.to_string());
        }
        if self.ignore_sigpipe {
            command.env("T_IGNORE_SIGPIPE", "yes");
        }
        self.listening_environment(&mut command);
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    fn listening_environment(&self, command: &mut Command) {
        let count = self.listen_fds.clone().or_else(|| {
            let passed = self.passed.len();
            (passed > 0).then(|| passed.to_string())
        });
        let Some(count) = count else { return };
        command.env("LISTEN_FDS", count);
        match &self.listen_pid {
            ListenPid::Own => command.env("T_PID", "%d"),
            ListenPid::Spelled(format) => command.env("T_PID", format),
            ListenPid::Unset => command,
            ListenPid::Text(text) => command.env("LISTEN_PID", text),
        };
    }

    fn through_setpriv(&self, uid: u32, command: &mut Command) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Err(Failure::missing(
                format!("the right to run {} as user {uid}", self.subject),
                "run the tests as root",
            ));
        }
        command.arg("setpriv").args([format!("--reuid={uid}"), format!("--regid={uid}")]);
        command.args(["--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]);
        Ok(())
    }

    /// Returns the path to execute, and a directory that must exist as long as the process runs.
    fn place(&self) -> Result<(PathBuf, Option<TempDir>)> {
        let program = self.subject.program()?;
        if self.subject == Subject::SocketProxyd {
            return Ok((program, None));
        }
        let dir = TempDir::new()?;
        let link = dir.join(match self.invoked_as {
            InvokedAs::AsSocketProxyd => "systemd-socket-proxyd",
            InvokedAs::AsDormouse => "dormouse",
        });
        if self.uid.is_some() {
            // Another user may not have access to the build directory.
            fs::copy(&program, &link).doing(|| format!("copy {}", program.display()))?;
            fs::set_permissions(&link, fs::Permissions::from_mode(0o755))
                .doing(|| format!("chmod {}", link.display()))?;
        } else {
            let program = program.canonicalize().doing(|| format!("find {}", program.display()))?;
            symlink(program, &link).doing(|| format!("link {}", link.display()))?;
        }
        Ok((link, Some(dir)))
    }
}
