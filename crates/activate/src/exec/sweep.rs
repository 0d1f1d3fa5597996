//! Kills what is left of a run whose guard did not end it.

use std::fs;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::control_group::ControlGroup;
use super::protocol::RUN_ID;
use crate::process::{HeldProcess, parse_pid};
use crate::spawner::Question;

/// The time that killed processes may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// The request to kill what is left of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sweep {
    /// The number of the guard, which is not reaped: no other process, session and control group has it.
    guard: Option<i32>,
    run_id: String,
}

impl Sweep {
    pub(super) fn new(guard: Option<Pid>, run_id: &str) -> Self {
        Self { guard: guard.map(Pid::as_raw_pid), run_id: run_id.to_owned() }
    }

    /// Returns whether this is about the run of a guard.
    pub(crate) fn is_about(&self, guard: Pid, run_id: &str) -> bool {
        self.guard == Some(guard.as_raw_pid()) && self.run_id == run_id
    }
}

impl Question for Sweep {
    const KIND: &'static str = "sweep";
    const IS_LONG: bool = true;
    type Answer = ();

    fn answer(self) {
        let guard = self.guard.and_then(Pid::from_raw);
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
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Some(group) = group {
            group.remove();
        }
    }
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
