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

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::Exec;
use super::protocol::{DESCRIPTOR_LIMIT, GuardEvent, GuardRequest};
use crate::process::{self, OutputLines};

/// The program of the guard: this version of dormouse, even if another one was installed meanwhile.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// The longest event that a guard sends, in bytes.
const MAX_EVENT: usize = 4096;
/// The time that killed processes may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);
/// The variable that identifies the program's processes when the guard is gone.
const RUN_ID: &str = "DORMOUSE_RUN";

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Sets the program of the guard, for tests. The first call counts.
pub(super) fn set_program(program: PathBuf) {
    let _ = PROGRAM.set(program);
}

/// A guard process and the connection to it.
#[derive(Debug)]
pub(super) struct GuardHandle {
    child: Child,
    socket: UnixStream,
    received: Vec<u8>,
    /// The identifier of this run, unique among all processes.
    run_id: String,
}

impl GuardHandle {
    /// Starts a guard, which starts the program immediately.
    ///
    /// # Errors
    /// When the guard cannot be started.
    pub(super) fn start(
        exec: &Exec,
        environment: Vec<(OsString, OsString)>,
        stop_timeout: Duration,
    ) -> io::Result<(Self, OutputLines)> {
        let (local, remote) = std::os::unix::net::UnixStream::pair()?;
        local.set_nonblocking(true)?;
        let socket = UnixStream::from_std(local)?;
        let (output, lines) = process::output_pipe()?;
        let run_id = new_run_id();
        let mut command = Command::new(PROGRAM.get().map_or(OWN_PROGRAM.as_ref(), PathBuf::as_path));
        command.arg0("dormouse").arg("guard").arg(stop_timeout.as_millis().to_string()).arg("--");
        command.args(&exec.argv);
        command.env_clear().envs(environment).env(RUN_ID, &run_id);
        if let Some(limit) = dormouse_sys::fd_limit::inherited() {
            command.env(DESCRIPTOR_LIMIT, limit.to_string());
        }
        if let Some(directory) = &exec.directory {
            command.current_dir(directory);
        }
        command.stdin(Stdio::from(OwnedFd::from(remote)));
        command.stdout(Stdio::from(output.try_clone()?)).stderr(Stdio::from(output));
        let child = command.spawn()?;
        Ok((Self { child, socket, received: Vec::new(), run_id }, lines))
    }

    /// Returns the number of the guard process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
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

    /// Kills the remaining processes of a guard that did not end in good order, and reaps the guard.
    pub(super) async fn kill_remaining(self) {
        // The guard is not reaped yet, so no other process and no other session has its number.
        let session = self.child.id().and_then(|id| i32::try_from(id).ok());
        let deadline = Instant::now() + KILL_TIMEOUT;
        loop {
            let remaining = remaining_processes(session, &self.run_id);
            if remaining.is_empty() || Instant::now() >= deadline {
                break;
            }
            for pid in remaining {
                let _ = kill_process(pid, Signal::KILL);
            }
            sleep(Duration::from_millis(2)).await;
        }
        self.wait().await;
    }

    /// Reaps a guard that has sent its last event.
    pub(super) async fn wait(mut self) {
        if tokio::time::timeout(KILL_TIMEOUT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
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

/// Returns the processes in this session, its leader included, and those that carry the identifier of this run.
fn remaining_processes(session: Option<i32>, run_id: &str) -> Vec<Pid> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let mark = format!("{RUN_ID}={run_id}");
    let mut found = Vec::new();
    for entry in all.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        let mut fields = fields.split(' ');
        if matches!(fields.next(), Some("Z" | "X")) {
            continue;
        }
        let in_session = session.is_some() && fields.nth(2).and_then(|field| field.parse().ok()) == session;
        let marked = || {
            fs::read(entry.path().join("environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|one| one == mark.as_bytes()))
        };
        if in_session || marked() {
            found.push(pid);
        }
    }
    found
}
