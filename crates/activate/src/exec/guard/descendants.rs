//! The descendants of the guard. The guard is their subreaper, so it finds those that have lost their parent, too.
//!
//! A descendant may end at any time, and its parent may reap it, so that its number soon means an unrelated process. The
//! guard therefore uses no number: it holds each process by a descriptor, and then checks whose child that process is.

use std::collections::HashSet;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, wait};

use crate::process::{HeldProcess, Termination, children};

/// The largest number of processes that are held at once.
const MAX_HELD: usize = 1 << 16;
/// The descriptors that the guard itself needs.
const OWN_DESCRIPTORS: u64 = 32;
/// The least limit of descriptors with which a guard starts a program. With few more than its own it would signal only some
/// of the program's processes.
pub(super) const MIN_DESCRIPTORS: u64 = 2 * OWN_DESCRIPTORS;

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

/// The processes that a search has found.
#[derive(Debug, Default)]
pub(super) struct Descendants {
    /// The processes, parents before their children.
    pub(super) found: Vec<HeldProcess>,
    /// The search ended early, because there are more processes than descriptors.
    pub(super) cut_short: bool,
}

/// Returns the descendants. The caller drops them before it reaps a child.
///
/// A process that is created or loses its parent during the search may be missing. No other process is among them.
pub(super) fn descendants() -> Descendants {
    let most = dormouse_sys::fd_limit::current().saturating_sub(OWN_DESCRIPTORS);
    let most = usize::try_from(most).unwrap_or(MAX_HELD).min(MAX_HELD);
    let mut all = Descendants::default();
    let mut seen = HashSet::new();
    // The guard, then the positions of those whose children are searched next.
    let mut next = vec![None];
    while let Some(position) = next.pop() {
        let parent = position.and_then(|position: usize| all.found.get(position));
        let parent_pid = parent.map_or_else(getpid, HeldProcess::pid);
        let mut new = Vec::new();
        for pid in children(parent_pid).into_iter().filter(|pid| !seen.contains(pid)) {
            if all.found.len() + new.len() >= most {
                all.cut_short = true;
                break;
            }
            match hold_child(pid, parent) {
                Ok(Some(child)) => new.push(child),
                Ok(None) => {}
                Err(_) => all.cut_short = true,
            }
        }
        for child in new {
            seen.insert(child.pid());
            next.push(Some(all.found.len()));
            all.found.push(child);
        }
    }
    all
}

/// Returns the numbers that the descendants of a guard have now. They serve for questions, not for signals: a number may
/// mean another process soon. A process that is created or loses its parent during the search may be missing.
pub(crate) fn descendants_of(guard: Pid) -> Vec<Pid> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let mut next = vec![guard];
    while let Some(parent) = next.pop() {
        for child in children(parent) {
            if found.len() < MAX_HELD && seen.insert(child) {
                found.push(child);
                next.push(child);
            }
        }
    }
    found
}

/// Returns the process of this number, if it is a child of `parent`, which is the guard without one.
///
/// # Errors
/// When no descriptors are left.
fn hold_child(pid: Pid, parent: Option<&HeldProcess>) -> Result<Option<HeldProcess>, Errno> {
    let child = match (HeldProcess::open(pid), parent) {
        (Ok(child), _) => child,
        (Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM), _) => return Err(Errno::MFILE),
        // Without pidfds only the guard's own children are safe from reuse: nobody else reaps them.
        (Err(Errno::NOSYS | Errno::PERM), None) => HeldProcess::child(pid),
        (Err(_), _) => return Ok(None),
    };
    // A child of the guard keeps its number until the guard reaps it.
    let Some(parent) = parent else { return Ok(Some(child)) };
    let is_child = child.stat().is_some_and(|stat| stat.parent == Some(parent.pid()))
        // The number of the parent meant the held parent all the time.
        && parent.exists();
    Ok(is_child.then_some(child))
}

/// Sends a signal to processes.
///
/// # Errors
/// The last process that the guard has no permission to signal.
pub(super) fn signal_all<'a>(
    processes: impl IntoIterator<Item = &'a HeldProcess>,
    signal: Signal,
) -> Result<(), Pid> {
    let mut refused = Ok(());
    for process in processes {
        if process.signal(signal) == Err(Errno::PERM) {
            refused = Err(process.pid());
        }
    }
    refused
}
