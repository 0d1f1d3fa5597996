//! Whose socket is it: whether a listener, or an accepted connection, belongs to a workload.
//!
//! The kernel names the inode of a socket, the user and the control group that created it. The question is then whether
//! one of the workload's processes holds the socket. All of /proc is searched only to find the helper of a container
//! engine, and to name a stranger. Where dormouse may not read the descriptors of other users' processes, the user and the
//! control group decide.

mod control_group;
mod proc;

use std::time::{Duration, Instant};

use dormouse_core::sock_diag::InetSocket;
use dormouse_sys::credentials::Credentials;
use rustix::process::Pid;

use self::control_group::Numbers;
use self::proc::Holds;
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to the workload, or to the manager or the engine of the workload.
    Own,
    /// It belongs to another program, which this text names.
    Stranger(String),
    /// The owner is unknown, for this reason.
    Unknown(String),
}

/// Who may listen for a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(Rule);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// Any program.
    Anybody,
    /// The owner is unknown, for this reason.
    Unknown(String),
    /// The descendants of a guard. `None`: there is no guard, so nobody.
    Descendants(Option<Pid>),
    /// The processes in some control groups, and the programs of container engines that run as one of these users.
    Groups { groups: Vec<String>, engine_users: Vec<u32> },
}

impl ActivatorConfig {
    /// Returns who may listen for this workload. `processes`: those of its present run.
    pub async fn owner(&self, processes: &RunProcesses) -> Owner {
        let own = rustix::process::geteuid().as_raw();
        Owner(match self {
            Self::Exec(_) => Rule::Descendants(match processes.get() {
                Some(RunRoot::Guard(pid)) => Some(pid),
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
                        proc::control_group(pid).and_then(|group| control_group::up_to(&group, &id))
                    }
                    _ => None,
                };
                Rule::Groups { groups: group.into_iter().collect(), engine_users }
            }
            Self::Command(_) | Self::WakeOnLan(_) => Rule::Anybody,
        })
    }
}

impl Owner {
    /// Returns whether a TCP socket certainly belongs to the workload, without a long search: one of its first processes
    /// has the socket among its first descriptors. So it is for programs that have just started.
    pub fn is_evident(&self, socket: &InetSocket) -> bool {
        let (Rule::Descendants(guard), Some(inode)) = (&self.0, socket.inode) else { return false };
        let few = descendants(*guard).into_iter().take(EVIDENT_PROCESSES);
        few.into_iter().any(|pid| proc::holds(pid, inode, EVIDENT_DESCRIPTORS) == Holds::Yes)
    }

    /// Returns whose a TCP socket is. Reads /proc, and may take as long as the search of all processes.
    pub fn judge(&self, socket: &InetSocket) -> Verdict {
        let Some(inode) = socket.inode else {
            return Verdict::Unknown("no process has the socket".to_owned());
        };
        match &self.0 {
            Rule::Anybody => Verdict::Own,
            Rule::Unknown(reason) => Verdict::Unknown(reason.clone()),
            Rule::Descendants(guard) => judge_descendants(*guard, inode, socket.uid),
            Rule::Groups { groups, engine_users } => judge_groups(groups, engine_users, inode, socket),
        }
    }

    /// Returns whose the listener of a UNIX socket is, by the credentials that it had when it began to listen. Only the
    /// processes that dormouse starts itself are judged: other workloads have directories of their own.
    pub fn judge_unix(&self, listener: Credentials) -> Verdict {
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

fn descendants(guard: Option<Pid>) -> Vec<u32> {
    let all = guard.map(descendants_of).unwrap_or_default();
    all.iter().filter_map(|pid| u32::try_from(pid.as_raw_pid()).ok()).collect()
}

fn judge_descendants(guard: Option<Pid>, inode: u32, uid: u32) -> Verdict {
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

fn judge_groups(groups: &[String], engine_users: &[u32], inode: u32, socket: &InetSocket) -> Verdict {
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
    let is_own = |pid: u32| pid == std::process::id() || in_groups(pid) || is_engine(pid);
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
    socket: &InetSocket,
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
mod tests {
    use super::*;
    use dormouse_core::sock_diag::TcpState;
    use std::net::{SocketAddr, TcpListener};

    fn socket(listener: &TcpListener) -> InetSocket {
        let found = dormouse_sys::sock_diag::listeners(listener.local_addr().unwrap()).unwrap();
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(one.state, TcpState::Listen);
        *one
    }

    #[test]
    fn a_socket_of_no_descendant_belongs_to_a_stranger_who_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = format!("process {} (", std::process::id());
        // This process is none of its own descendants. One that another test starts has a copy of the listener until it
        // executes its program.
        for guard in [None, Some(rustix::process::getpid())] {
            let owner = Owner(Rule::Descendants(guard));
            let named = || match owner.judge(&socket(&listener)) {
                Verdict::Stranger(name) if name.starts_with(&own) => Ok(Some(())),
                _ => Ok(None),
            };
            dormouse_tests::wait::until("the name of a stranger", dormouse_tests::wait::SOON, named).unwrap();
        }
        let child = Other::listen("python3");
        let guard = Some(rustix::process::getpid());
        assert_eq!(Owner(Rule::Descendants(guard)).judge(&child.1), Verdict::Own);
    }

    /// Another process that listens, until it is dropped.
    struct Other(std::process::Child, InetSocket);

    impl Other {
        fn listen(name: &str) -> Self {
            use std::io::{BufRead as _, BufReader};
            // python3 may be a script that starts another program, so the process names itself.
            let script = "import socket, sys; open('/proc/self/comm', 'w').write(sys.argv[1]); \
                          s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()";
            let mut command = std::process::Command::new("python3");
            command.args(["-c", script, name]);
            command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            let address = SocketAddr::from(([127, 0, 0, 1], line.trim().parse().unwrap()));
            let found = dormouse_sys::sock_diag::listeners(address).unwrap();
            Self(child, found[0])
        }
    }

    impl Drop for Other {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn only_an_engine_and_dormouse_listen_outside_the_groups_of_a_workload() {
        let own = rustix::process::geteuid().as_raw();
        let judged = |other: &Other, user| {
            let groups = vec!["/no/such.service".to_owned()];
            Owner(Rule::Groups { groups, engine_users: vec![user] }).judge(&other.1)
        };
        let stranger = Other::listen("python3");
        let Verdict::Stranger(name) = judged(&stranger, own) else { panic!("not a stranger") };
        assert!(name.starts_with(&format!("process {} (python3", stranger.0.id())), "{name}");
        let engine = Other::listen("docker-proxy");
        assert_eq!(judged(&engine, own), Verdict::Own);
        // Any program may call itself like that, but not as the user of the engine.
        assert!(matches!(judged(&engine, own + 1), Verdict::Stranger(_)));
    }

    #[test]
    fn the_user_and_the_group_decide_where_no_holder_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let engine = 1000;
        let mut numbers = Numbers::default();
        numbers.known.insert(7);
        let verdict = |uid, cgroup, is_cut_off, numbers: &Numbers| {
            let socket = InetSocket { uid, cgroup, ..socket(&listener) };
            without_holder(&socket, &["/web.service".to_owned()], numbers, &[0, engine], is_cut_off)
        };
        for is_cut_off in [false, true] {
            assert_eq!(verdict(0, Some(8), is_cut_off, &numbers), Verdict::Own);
            // The engine of another user, whose processes are hidden.
            for unknown in
                [verdict(engine, Some(8), is_cut_off, &numbers), verdict(1001, None, is_cut_off, &numbers)]
            {
                let Verdict::Unknown(reason) = unknown else { panic!("{unknown:?}") };
                assert_eq!(reason.contains("cut off after 2 s"), is_cut_off, "{reason}");
            }
            let Verdict::Stranger(name) = verdict(1001, Some(8), is_cut_off, &numbers) else {
                panic!("not a stranger")
            };
            assert!(name.starts_with("a process of uid 1001"), "{name}");
            assert_eq!(name.contains("cut off after 2 s"), is_cut_off, "{name}");
        }
        numbers.is_cut_off = true;
        assert!(matches!(verdict(1001, Some(8), false, &numbers), Verdict::Unknown(_)));
    }

    #[test]
    fn dormouse_itself_and_anybody_may_listen_where_the_rule_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let rule = Rule::Groups { groups: Vec::new(), engine_users: Vec::new() };
        assert_eq!(Owner(rule).judge(&socket(&listener)), Verdict::Own);
        let unknown = Owner(Rule::Unknown("because".to_owned()));
        assert_eq!(unknown.judge(&socket(&listener)), Verdict::Unknown("because".to_owned()));
        assert_eq!(Owner(Rule::Anybody).judge(&socket(&listener)), Verdict::Own);
    }

    #[test]
    fn a_unix_listener_is_judged_by_its_process_and_user() {
        let child = Other::listen("python3");
        let own = child.0.id();
        let parent = Owner(Rule::Descendants(Some(rustix::process::getpid())));
        let nobody = Owner(Rule::Descendants(None));
        let uid = rustix::process::geteuid().as_raw();
        let listener = |uid, pid| Credentials { uid, gid: 0, pid };
        assert_eq!(parent.judge_unix(listener(uid, Some(own))), Verdict::Own);
        // The process has ended, and the user is that of a descendant.
        assert_eq!(parent.judge_unix(listener(uid, Some(u32::MAX))), Verdict::Own);
        assert!(matches!(parent.judge_unix(listener(uid + 1, None)), Verdict::Stranger(_)));
        assert!(matches!(nobody.judge_unix(listener(uid, Some(own))), Verdict::Stranger(_)));
        // The number of a process that another user's listener came from is now that of a descendant.
        assert!(matches!(parent.judge_unix(listener(64_321, Some(own))), Verdict::Stranger(_)));
    }
}
