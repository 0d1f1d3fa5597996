//! The side of dormouse of a guard process.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::control_group::ControlGroup;
use super::protocol::{GuardArguments, GuardEvent, GuardRequest, RUN_ID, guard_environment};
use crate::process::{HeldProcess, OwnChild, parse_pid};

/// The program of the guard: this version of dormouse, even if another one was installed meanwhile.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// The longest event that a guard sends, in bytes.
const MAX_EVENT: usize = 4096;
/// The time that killed processes may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Sets the program of the guard, for tests. The first call counts.
pub(super) fn set_program(program: PathBuf) {
    let _ = PROGRAM.set(program);
}

/// A guard process and the connection to it.
#[derive(Debug)]
pub(super) struct GuardHandle {
    child: OwnChild,
    socket: UnixStream,
    received: Vec<u8>,
    /// The identifier of this run, unique among all processes.
    run_id: String,
}

/// What [`GuardHandle::start`] needs: everything that the guard and its program get.
#[derive(Debug)]
pub(super) struct GuardStart {
    pub(super) arguments: GuardArguments,
    /// The whole environment of the program.
    pub(super) environment: Vec<(OsString, OsString)>,
    /// The working directory. `None` is that of dormouse.
    pub(super) directory: Option<PathBuf>,
    /// The standard output and the standard error of the program.
    pub(super) output: OwnedFd,
}

impl GuardHandle {
    /// Starts a guard, which starts the program immediately.
    ///
    /// # Errors
    /// When the guard cannot be started.
    pub(super) fn start(start: GuardStart) -> io::Result<Self> {
        let GuardStart { arguments, environment, directory, output } = start;
        let (local, remote) = std::os::unix::net::UnixStream::pair()?;
        local.set_nonblocking(true)?;
        let socket = UnixStream::from_std(local)?;
        let run_id = new_run_id();
        let mut command = Command::new(PROGRAM.get().map_or(OWN_PROGRAM.as_ref(), PathBuf::as_path));
        command.arg0("dormouse").arg("guard").args(arguments.to_words());
        command.env_clear().envs(guard_environment(environment, &run_id));
        if let Some(directory) = &directory {
            command.current_dir(directory);
        }
        command.stdin(Stdio::from(OwnedFd::from(remote)));
        command.stdout(Stdio::from(output.try_clone()?)).stderr(Stdio::from(output));
        let child = OwnChild::start(&mut command)?;
        Ok(Self { child, socket, received: Vec::new(), run_id })
    }

    /// Returns the number of the guard, which nobody else gets as long as this value lives.
    pub(super) fn pid(&self) -> Option<Pid> {
        self.child.pid()
    }

    /// Sends a request. A guard that is gone is noticed by [`Self::receive`].
    pub(super) async fn send(&mut self, request: GuardRequest) {
        let _ = self.socket.write_all(&[request.to_byte()]).await;
    }

    /// Receives the next event; `None` when the guard has ended. Cancel safe.
    pub(super) async fn receive(&mut self) -> Option<GuardEvent> {
        loop {
            while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                let line = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
                if let Some(event) = GuardEvent::parse(&line) {
                    return Some(event);
                }
            }
            if self.received.len() >= MAX_EVENT {
                return None;
            }
            match self.socket.read_buf(&mut self.received).await {
                Ok(1..) => {}
                _ => return None,
            }
        }
    }

    /// Kills the remaining processes of a guard that did not end in good order.
    pub(super) async fn kill_remaining(&self) {
        // The guard is not reaped yet, so no other process, session and control group has its number.
        let guard = self.pid();
        let group = guard.and_then(ControlGroup::of);
        let deadline = Instant::now() + KILL_TIMEOUT;
        loop {
            if let Some(group) = &group {
                group.kill();
            }
            let remaining = kill_processes(guard, &self.run_id);
            if remaining == 0 || Instant::now() >= deadline {
                break;
            }
            sleep(Duration::from_millis(2)).await;
        }
        if let Some(group) = group {
            group.remove();
        }
    }

    /// Reaps a guard that has ended or will end soon.
    pub(super) async fn wait(mut self) {
        if tokio::time::timeout(KILL_TIMEOUT, self.child.wait()).await.is_err() {
            self.child.kill().await;
        }
    }
}

/// Returns an identifier for one run of one program.
fn new_run_id() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{number}-{:x}", std::process::id(), now.as_nanos())
}

/// Kills the processes in this session, its leader included, and those that carry the identifier of this run. Returns
/// how many there may have been.
fn kill_processes(session: Option<Pid>, run_id: &str) -> usize {
    let Ok(all) = fs::read_dir("/proc") else { return 0 };
    let mark = format!("{RUN_ID}={run_id}");
    let mut remaining = 0;
    for pid in all.flatten().filter_map(|entry| entry.file_name().to_str().and_then(parse_pid)) {
        // The descriptor comes first: what is read after it is about the process that is killed.
        let process = match HeldProcess::open(pid) {
            Ok(process) => process,
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => {
                remaining += 1;
                continue;
            }
            Err(_) => continue,
        };
        let Some(stat) = process.stat().filter(|stat| !matches!(stat.state, 'Z' | 'X')) else { continue };
        let in_session = session.is_some() && stat.session == session;
        let marked = || {
            process
                .read("environ")
                .is_some_and(|environ| environ.split(|byte| *byte == 0).any(|one| one == mark.as_bytes()))
        };
        if in_session || marked() {
            let _ = process.signal(Signal::KILL);
            remaining += 1;
        }
    }
    remaining
}
