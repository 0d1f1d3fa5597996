//! A guard, seen from us.

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
use super::protocol::{Ask, Said};
use crate::process::{self, Lines};

/// The program that a guard is made of: ours, even when another version has been installed meanwhile.
const OURSELVES: &str = "/proc/self/exe";
/// A longer line is none of a guard's.
const LINE: usize = 4096;
/// How long it may take until what was killed has ended.
const KILLED: Duration = Duration::from_secs(2);
/// Tells the guard the soft limit on descriptors that the program is to have.
pub(super) const DESCRIPTORS: &str = "DORMOUSE_DESCRIPTORS";
/// Given to the program, so that it is known again when its guard is gone.
const RUN: &str = "DORMOUSE_RUN";

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Has another program be the guard than ourselves; the first call counts. For tests.
pub(super) fn set_program(program: PathBuf) {
    let _ = PROGRAM.set(program);
}

/// A guard, and the program behind it.
#[derive(Debug)]
pub(super) struct Guarded {
    child: Child,
    link: UnixStream,
    heard: Vec<u8>,
    /// What identifies this run among all processes.
    run: String,
}

impl Guarded {
    /// Starts a guard, which starts the program at once.
    ///
    /// # Errors
    /// When the guard cannot be started.
    pub(super) fn start(
        exec: &Exec,
        environment: Vec<(OsString, OsString)>,
        stop_timeout: Duration,
    ) -> io::Result<(Self, Lines)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let link = UnixStream::from_std(ours)?;
        let (output, lines) = process::output()?;
        let run = run();
        let mut command = Command::new(PROGRAM.get().map_or(OURSELVES.as_ref(), PathBuf::as_path));
        command.arg0("dormouse").arg("guard").arg(stop_timeout.as_millis().to_string()).arg("--");
        command.args(&exec.argv);
        command.env_clear().envs(environment).env(RUN, &run);
        if let Some(limit) = dormouse_sys::fd_limit::inherited() {
            command.env(DESCRIPTORS, limit.to_string());
        }
        if let Some(directory) = &exec.directory {
            command.current_dir(directory);
        }
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        command.stdout(Stdio::from(output.try_clone()?)).stderr(Stdio::from(output));
        let child = command.spawn()?;
        Ok((Self { child, link, heard: Vec::new(), run }, lines))
    }

    /// Gives an order. A guard that is gone is noticed by [`Self::hear`].
    pub(super) async fn ask(&mut self, ask: Ask) {
        let _ = self.link.write_all(&[ask.to_byte()]).await;
    }

    /// What it tells next; `None` when it has ended. Cancelling it loses nothing.
    pub(super) async fn hear(&mut self) -> Option<Said> {
        loop {
            while let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                let line = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
                if let Some(said) = Said::parse(&line) {
                    return Some(said);
                }
            }
            if self.heard.len() >= LINE {
                return None;
            }
            match self.link.read_buf(&mut self.heard).await {
                Ok(1..) => {}
                _ => return None,
            }
        }
    }

    /// Kills all that is left when the guard did not end in good order, and lets go of it.
    pub(super) async fn sweep(self) {
        // Not waited for yet, so its number is still its own, and that of its session.
        let session = self.child.id().and_then(|id| i32::try_from(id).ok());
        let deadline = Instant::now() + KILLED;
        loop {
            let left = left_of(session, &self.run);
            if left.is_empty() || Instant::now() >= deadline {
                break;
            }
            for pid in left {
                let _ = kill_process(pid, Signal::KILL);
            }
            sleep(Duration::from_millis(2)).await;
        }
        self.end().await;
    }

    /// Takes note of the end of the guard, which has said its last word.
    pub(super) async fn end(mut self) {
        if tokio::time::timeout(KILLED, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// A name for one run of one program.
fn run() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{number}-{:x}", std::process::id(), now.as_nanos())
}

/// What lives in this session or carries the name of this run, the leader of the session included.
fn left_of(session: Option<i32>, run: &str) -> Vec<Pid> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let mark = format!("{RUN}={run}");
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
