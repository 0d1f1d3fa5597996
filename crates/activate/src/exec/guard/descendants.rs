//! The descendants of the guard. The guard is their subreaper, so it finds those that have lost their parent, too.

use std::collections::HashSet;
use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};

use crate::process::Termination;

/// The largest number of processes that the kernel allows (`kernel.pid_max`). It bounds the search.
const MAX_PROCESSES: usize = 1 << 22;

/// The result of [`reap`].
pub(super) enum Reaped {
    /// This process has terminated.
    Terminated(Pid, Termination),
    /// No further process has terminated.
    NoneTerminated,
    /// The guard has no children.
    NoChildren,
}

/// Reaps one terminated child.
pub(super) fn reap() -> Reaped {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if let Some(code) = status.exit_status() {
                    return Reaped::Terminated(pid, Termination::Exited(code));
                }
                if let Some(signal) = status.terminating_signal() {
                    return Reaped::Terminated(pid, Termination::Killed(signal));
                }
            }
            Ok(None) => return Reaped::NoneTerminated,
            Err(Errno::INTR) => {}
            Err(_) => return Reaped::NoChildren,
        }
    }
}

/// Returns all descendants of this process, see [`descendants_of`].
pub(super) fn descendants() -> Vec<Pid> {
    descendants_of(getpid())
}

/// Returns all descendants of a guard. A process that is created or loses its parent during the search may be missing.
pub(crate) fn descendants_of(guard: Pid) -> Vec<Pid> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let mut next = vec![guard];
    while let Some(parent) = next.pop() {
        for child in children(parent) {
            if found.len() < MAX_PROCESSES && seen.insert(child) {
                found.push(child);
                next.push(child);
            }
        }
    }
    found
}

/// Sends a signal to processes.
///
/// # Errors
/// The last process that the guard has no permission to signal.
pub(super) fn signal_all(pids: &[Pid], signal: Signal) -> Result<(), Pid> {
    let mut refused = Ok(());
    for pid in pids {
        if kill_process(*pid, signal) == Err(Errno::PERM) {
            refused = Err(*pid);
        }
    }
    refused
}

/// Returns whether a process that was sent SIGSTOP executes nothing until SIGCONT: it is stopped, has terminated, or
/// waits in the kernel and stops before it returns, as a shell does for its stopped child (vfork).
pub(super) fn is_stopped(pid: Pid) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // The name, in parentheses, may contain parentheses and spaces.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('T' | 't' | 'D' | 'Z' | 'X') | None)
}

fn children(parent: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => found.extend(list.split_ascii_whitespace().filter_map(parse_pid)),
            // The kernel has no lists of children, unless the thread has just ended.
            Err(_) if thread.path().join("stat").exists() => return children_by_scan(parent),
            Err(_) => {}
        }
    }
    found
}

/// Finds the children of a process on kernels without lists of children.
fn children_by_scan(parent: Pid) -> Vec<Pid> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in all.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(parse_pid) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ')).into_iter().flatten();
        if fields.into_iter().nth(1).and_then(parse_pid) == Some(parent) {
            found.push(pid);
        }
    }
    found
}

fn parse_pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}
