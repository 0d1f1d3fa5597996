//! Whether the sender of a notification belongs to the program.

use std::fs;

use dormouse_sys::credentials::Credentials;
use rustix::process::{Pid, geteuid};
use serde::{Deserialize, Serialize};

use crate::process::{HeldProcess, parse_pid};
use crate::spawner::Question;

/// The number of steps from a process to its parent that are tried. Each costs reads in /proc, and any user may send.
const MAX_STEPS: u32 = 32;
/// The number of the guard's children that are looked at.
const MAX_CHILDREN: usize = 64;

/// The question whether the sender of a message is a descendant of the guard.
///
/// Many senders, such as systemd-notify in a script, have ended by then. They count by their user: dormouse's, `user`, or
/// that of a child of the guard. Such a user can make a process of the program send anything.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SenderQuestion {
    uid: u32,
    pid: Option<u32>,
    guard: i32,
    user: Option<u32>,
}

impl SenderQuestion {
    pub(super) fn new(sender: &Credentials, guard: Pid, user: Option<u32>) -> Self {
        Self { uid: sender.uid, pid: sender.pid, guard: guard.as_raw_pid(), user }
    }

    /// Returns the process that has sent a message; `None` if it has ended.
    fn sender_process(&self) -> Option<HeldProcess> {
        let pid = self.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)?;
        let process = HeldProcess::open(pid).ok()?;
        // Another process with this number, of another user.
        users(&process).contains(&self.uid).then_some(process)
    }
}

impl Question for SenderQuestion {
    const KIND: &'static str = "sender";
    const IS_LONG: bool = false;
    type Answer = bool;

    fn answer(self) -> bool {
        let Some(guard) = Pid::from_raw(self.guard) else { return false };
        match self.sender_process() {
            Some(process) => is_descendant(process, guard),
            None => {
                [Some(0), Some(geteuid().as_raw()), self.user].contains(&Some(self.uid))
                    || children_of(guard).iter().any(|child| users(child).contains(&self.uid))
            }
        }
    }
}

/// Returns whether a process is a descendant of the guard, which is not reaped and so keeps its number.
fn is_descendant(process: HeldProcess, guard: Pid) -> bool {
    let mut process = process;
    for _ in 0..MAX_STEPS {
        let Some(number) = process.stat().and_then(|stat| stat.parent) else { return false };
        if number == guard {
            return true;
        }
        let Ok(parent) = HeldProcess::open(number) else { continue };
        // Unless the parent has ended meanwhile, the number means the parent and not a later process.
        let is_parent = process.stat().is_some_and(|stat| stat.parent == Some(number)) && parent.exists();
        if is_parent {
            process = parent;
        }
    }
    false
}

/// Returns the children of the guard.
fn children_of(guard: Pid) -> Vec<HeldProcess> {
    let list = fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).unwrap_or_default();
    let children = list.split_ascii_whitespace().take(MAX_CHILDREN).filter_map(parse_pid);
    children
        .filter_map(|pid| HeldProcess::open(pid).ok())
        .filter(|child| child.stat().is_some_and(|stat| stat.parent == Some(guard)))
        .collect()
}

/// Returns the user IDs of a process: real, effective, saved, and that for file systems.
fn users(process: &HeldProcess) -> Vec<u32> {
    let status = process.read("status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    ids.split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect()
}
