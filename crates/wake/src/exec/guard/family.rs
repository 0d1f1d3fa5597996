//! All that descends from this process: it is their reaper, so whatever loses its parent stays in sight.

use std::collections::HashSet;
use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};

use crate::process::Ending;

/// More than can live is no tree of processes, but a mistake of ours.
const MOST: usize = 1 << 22;

/// What became of one descendant.
pub(super) enum Reaped {
    /// This one ended.
    One(Pid, Ending),
    /// All that are left run on.
    NoneNow,
    /// None is left.
    NoneLeft,
}

/// Takes note of one that has ended.
pub(super) fn reap() -> Reaped {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if let Some(code) = status.exit_status() {
                    return Reaped::One(pid, Ending::Exited(code));
                }
                if let Some(signal) = status.terminating_signal() {
                    return Reaped::One(pid, Ending::Killed(signal));
                }
            }
            Ok(None) => return Reaped::NoneNow,
            Err(Errno::INTR) => {}
            Err(_) => return Reaped::NoneLeft,
        }
    }
}

/// All descendants. One that is born or loses its parent while this looks may be missing.
pub(super) fn descendants() -> Vec<Pid> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let mut next = vec![getpid()];
    while let Some(parent) = next.pop() {
        for child in children(parent) {
            if found.len() < MOST && seen.insert(child) {
                found.push(child);
                next.push(child);
            }
        }
    }
    found
}

/// Sends a signal to all of these. `Err`: at least one may not be signalled by us.
pub(super) fn signal(all: &[Pid], signal: Signal) -> Result<(), Pid> {
    let mut refused = Ok(());
    for pid in all {
        if kill_process(*pid, signal) == Err(Errno::PERM) {
            refused = Err(*pid);
        }
    }
    refused
}

/// Whether one that was sent SIGSTOP does nothing any more until it is told to: it is stopped, has ended, or waits in the
/// kernel, as a shell does for its stopped child (vfork), and stops before it leaves that.
pub(super) fn is_still(pid: Pid) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // The name, in brackets, may hold anything, brackets included.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('T' | 't' | 'D' | 'Z' | 'X') | None)
}

fn children(parent: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => found.extend(list.split_ascii_whitespace().filter_map(parse)),
            // The thread has ended.
            Err(_) if thread.path().join("stat").exists() => return children_by_scan(parent),
            Err(_) => {}
        }
    }
    found
}

/// For kernels without lists of children.
fn children_by_scan(parent: Pid) -> Vec<Pid> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in all.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(parse) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ')).into_iter().flatten();
        if fields.into_iter().nth(1).and_then(parse) == Some(parent) {
            found.push(pid);
        }
    }
    found
}

fn parse(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}
