//! Whose socket is it: whether a listener, or an accepted connection, belongs to a workload.
//!
//! The kernel names the inode of a socket, the user and the control group that created it. The question is then whether
//! one of the workload's processes holds the socket. All of /proc is searched only to find the helper of a container
//! engine, and to name a stranger. Where dormouse may not read the descriptors of other users' processes, the user and the
//! control group decide.

mod control_group;
mod proc;
mod questions;

use std::time::{Duration, Instant};

use dormouse_core::sock_diag::InetSocket;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use self::control_group::Numbers;
use self::proc::Holds;
pub(crate) use self::questions::{EvidentQuestion, GroupQuestion, JudgeQuestion, JudgeUnixQuestion};
use crate::exec::guard::descendants_of;
use crate::run_processes::{RunProcesses, RunRoot};
use crate::{ActivatorConfig, container, unit};

/// The time that the search of all processes may take.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(2);
/// The time that the service manager may take to list the parts of a unit.
const MANAGER_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of processes and descriptors that are looked at without a thread.
const EVIDENT_PROCESSES: usize = 16;
const EVIDENT_DESCRIPTORS: usize = 64;

/// The programs by which container engines accept connections for containers.
const ENGINE_PROGRAMS: [&str; 12] = [
    "conmon",
    "docker-proxy",
    "dockerd",
    "netavark",
    "pasta",
    "pasta.avx2",
    "passt",
    "passt.avx2",
    "podman",
    "rootlesskit",
    "rootlessport",
    "slirp4netns",
];

/// Whose a socket is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It belongs to the workload, or to the manager or the engine of the workload.
    Own,
    /// It belongs to another program, which this text names.
    Stranger(String),
    /// The owner is unknown, for this reason.
    Unknown(String),
}

/// Who may listen for a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner(Rule);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Rule {
    /// Any program.
    Anybody,
    /// The owner is unknown, for this reason.
    Unknown(String),
    /// The descendants of a guard. `None`: there is no guard, so nobody.
    Descendants(Option<i32>),
    /// The processes in some control groups, and the programs of container engines that run as one of these users.
    Groups { groups: Vec<String>, engine_users: Vec<u32> },
}

impl ActivatorConfig {
    /// Returns who may listen for this workload. `processes`: those of its present run.
    pub async fn owner(&self, processes: &RunProcesses) -> Owner {
        let own = rustix::process::geteuid().as_raw();
        Owner(match self {
            Self::Exec(_) => Rule::Descendants(match processes.get() {
                Some(RunRoot::Guard(pid)) => Some(pid.as_raw_pid()),
                _ => None,
            }),
            Self::Unit(unit) => {
                match tokio::time::timeout(MANAGER_TIMEOUT, unit::control_groups(unit)).await {
                    Ok(Ok(groups)) => Rule::Groups { groups, engine_users: vec![0, own] },
                    Ok(Err(reason)) => Rule::Unknown(reason),
                    Err(_) => Rule::Unknown("the service manager does not answer".to_owned()),
                }
            }
            Self::Container(one) => {
                let mut engine_users = vec![0, own];
                engine_users.extend(container::engine_user(one));
                let group = match processes.get() {
                    Some(RunRoot::Container { id, pid: Some(pid) }) => {
                        questions::container_group(pid, id).await
                    }
                    _ => None,
                };
                Rule::Groups { groups: group.into_iter().collect(), engine_users }
            }
            Self::Command(_) | Self::WakeOnLan(_) => Rule::Anybody,
        })
    }
}

/// A TCP socket, as far as its owner depends on it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Socket {
    inode: Option<u32>,
    uid: u32,
    cookie: u64,
    cgroup: Option<u64>,
}

impl From<&InetSocket> for Socket {
    fn from(socket: &InetSocket) -> Self {
        let InetSocket { inode, uid, cookie, cgroup, .. } = *socket;
        Self { inode, uid, cookie, cgroup }
    }
}

/// The user and the process that have made a UNIX socket listen.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Listener {
    uid: u32,
    pid: Option<u32>,
}

impl Owner {
    /// Returns whether one of the workload's first processes has the socket among its first descriptors.
    fn is_evident(&self, socket: &Socket) -> bool {
        let (Rule::Descendants(guard), Some(inode)) = (&self.0, socket.inode) else { return false };
        let few = descendants(*guard).into_iter().take(EVIDENT_PROCESSES);
        few.into_iter().any(|pid| proc::holds(pid, inode, EVIDENT_DESCRIPTORS) == Holds::Yes)
    }

    /// Returns whose a TCP socket is. Reads /proc, and may take as long as the search of all processes. `dormouse` is the
    /// number of dormouse itself.
    fn judge(&self, socket: &Socket, dormouse: u32) -> Verdict {
        let Some(inode) = socket.inode else {
            return Verdict::Unknown("no process has the socket".to_owned());
        };
        match &self.0 {
            Rule::Anybody => Verdict::Own,
            Rule::Unknown(reason) => Verdict::Unknown(reason.clone()),
            Rule::Descendants(guard) => judge_descendants(*guard, inode, socket.uid),
            Rule::Groups { groups, engine_users } => {
                judge_groups(groups, engine_users, inode, socket, dormouse)
            }
        }
    }

    /// Returns whose the listener of a UNIX socket is.
    fn judge_unix(&self, listener: Listener) -> Verdict {
        let Rule::Descendants(guard) = &self.0 else { return Verdict::Own };
        let own = descendants(*guard);
        // A program that becomes a daemon after it listens has left its number to nobody.
        let has_ended = listener.pid.is_none_or(|pid| proc::names(pid).is_empty());
        // Root is trusted with everything, and the program began as the user of dormouse.
        let trusted = [0, rustix::process::geteuid().as_raw()].contains(&listener.uid);
        // The kernel keeps the number of an ended process in the socket, which one of the program's may have now.
        let is_own = listener
            .pid
            .is_some_and(|pid| own.contains(&pid) && (trusted || proc::users(pid).contains(&listener.uid)));
        let same_user = || own.iter().any(|pid| proc::users(*pid).contains(&listener.uid));
        if is_own || (has_ended && (trusted || same_user())) {
            return Verdict::Own;
        }
        Verdict::Stranger(match listener.pid {
            Some(pid) if !has_ended => proc::describe(pid, listener.uid),
            _ => a_process_of(listener.uid),
        })
    }
}

fn descendants(guard: Option<i32>) -> Vec<u32> {
    let all = guard.and_then(Pid::from_raw).map(descendants_of).unwrap_or_default();
    all.iter().filter_map(|pid| u32::try_from(pid.as_raw_pid()).ok()).collect()
}

fn judge_descendants(guard: Option<i32>, inode: u32, uid: u32) -> Verdict {
    let mut unreadable = Vec::new();
    for pid in descendants(guard) {
        match proc::holds(pid, inode, usize::MAX) {
            Holds::Yes => return Verdict::Own,
            Holds::No => {}
            Holds::Unreadable => unreadable.push(pid),
        }
    }
    // A descendant that gained rights (a set-user-ID program) or protects itself. Its user is known, and no other user
    // can create a socket as that one. Root is trusted with everything.
    if unreadable.iter().any(|pid| uid == 0 || proc::users(*pid).contains(&uid)) {
        return Verdict::Own;
    }
    let search = proc::search(inode, Instant::now() + SEARCH_TIMEOUT);
    // A process that lost its parent during the first look was missing there. The search may have missed it, too.
    if descendants(guard).iter().any(|pid| proc::holds(*pid, inode, usize::MAX) == Holds::Yes) {
        return Verdict::Own;
    }
    // Every descendant was asked, so the search matters only to the name.
    Verdict::Stranger(match search.holders.first() {
        Some(pid) => proc::describe(*pid, uid),
        None if search.is_cut_off => format!("{} ({})", a_process_of(uid), cut_off()),
        None => a_process_of(uid),
    })
}

fn judge_groups(
    groups: &[String],
    engine_users: &[u32],
    inode: u32,
    socket: &Socket,
    dormouse: u32,
) -> Verdict {
    let mut numbers = Numbers::default();
    for group in groups {
        numbers.add(group);
    }
    if socket.cgroup.is_some_and(|number| numbers.known.contains(&number)) {
        return Verdict::Own;
    }
    let search = proc::search(inode, Instant::now() + SEARCH_TIMEOUT);
    let in_groups = |pid: u32| {
        let group = proc::control_group(pid);
        group.is_some_and(|group| groups.iter().any(|top| control_group::is_within(&group, top)))
    };
    let is_engine = |pid: u32| {
        proc::names(pid).iter().any(|name| ENGINE_PROGRAMS.contains(&name.as_str()))
            && proc::users(pid).get(1).is_some_and(|uid| engine_users.contains(uid))
    };
    // Dormouse itself: the address may be that of another service.
    let is_own = |pid: u32| pid == dormouse || in_groups(pid) || is_engine(pid);
    // All holders are asked: a stranger may send a copy of its socket to a program that receives descriptors.
    match search.holders.iter().find(|pid| !is_own(**pid)) {
        Some(stranger) => return Verdict::Stranger(proc::describe(*stranger, socket.uid)),
        None if !search.holders.is_empty() && search.is_cut_off => return Verdict::Unknown(cut_off()),
        None if !search.holders.is_empty() => return Verdict::Own,
        None => {}
    }
    without_holder(socket, groups, &numbers, engine_users, search.is_cut_off)
}

/// Returns whose a socket is if no process that may be seen holds it. The kernel names its user and its control group to
/// everybody. They decide alone where the search was cut off, too: a stranger who makes the search slow gains nothing.
fn without_holder(
    socket: &Socket,
    groups: &[String],
    numbers: &Numbers,
    engine_users: &[u32],
    is_cut_off: bool,
) -> Verdict {
    // Root, which runs the manager and most engines, is trusted with everything.
    if socket.uid == 0 {
        return Verdict::Own;
    }
    let is_group_unknown = socket.cgroup.is_none() || (!groups.is_empty() && numbers.known.is_empty());
    if numbers.is_cut_off {
        return Verdict::Unknown("the workload has too many control groups".to_owned());
    }
    match (is_cut_off, is_group_unknown || engine_users.contains(&socket.uid)) {
        (true, true) => Verdict::Unknown(cut_off()),
        // An engine of another user, whose processes may be hidden (hidepid of proc(5), ProtectProc=).
        (false, true) => {
            Verdict::Unknown("dormouse may not read the descriptors of other users' processes".to_owned())
        }
        (true, false) => Verdict::Stranger(format!("{} ({})", a_process_of(socket.uid), cut_off())),
        (false, false) => Verdict::Stranger(a_process_of(socket.uid)),
    }
}

fn cut_off() -> String {
    format!("the search for its process was cut off after {} s", SEARCH_TIMEOUT.as_secs())
}

fn a_process_of(uid: u32) -> String {
    format!("a process of uid {uid}")
}

#[cfg(test)]
mod tests;
