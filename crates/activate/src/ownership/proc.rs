//! What /proc tells about processes: which sockets they hold, their users, and their names.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Instant;

use crate::process::parse_stat;

/// The largest file of /proc to read here, in bytes.
const MAX_FILE: u64 = 1 << 16;
/// The number of characters of a process's name to show. The kernel's own limit is 15.
const MAX_NAME: usize = 32;

/// Whether a process holds a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Yes,
    No,
    /// The descriptors of the process may not be read: it belongs to another user, or protects itself. The kernel may refuse
    /// those of an ending process, too, which counts as one without the socket.
    Unreadable,
}

/// Returns whether a process holds the socket with this inode, among its first `limit` descriptors.
pub(super) fn holds(pid: u32, inode: u32, limit: usize) -> Holds {
    let directory = format!("/proc/{pid}/fd");
    let link = format!("socket:[{inode}]");
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        // It has ended.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Holds::No,
        Err(_) => return unreadable_unless_ending(pid),
    };
    let mut unreadable = false;
    for entry in entries.flatten().take(limit) {
        match fs::read_link(entry.path()) {
            Ok(target) if target.as_os_str().as_bytes() == link.as_bytes() => return Holds::Yes,
            // It closed the descriptor meanwhile, or it is another one.
            Ok(_) => {}
            Err(error) => unreadable |= error.kind() == std::io::ErrorKind::PermissionDenied,
        }
    }
    if unreadable { unreadable_unless_ending(pid) } else { Holds::No }
}

/// A process that began to end before a look at it is still ending, or has ended, after that look.
fn unreadable_unless_ending(pid: u32) -> Holds {
    let stat = read(&format!("/proc/{pid}/stat")).and_then(|text| parse_stat(&text));
    if stat.is_some_and(|stat| !stat.is_ending) { Holds::Unreadable } else { Holds::No }
}

/// What a search of all processes has found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Search {
    /// The processes that hold the socket. Those whose descriptors may not be read are missing.
    pub(super) holders: Vec<u32>,
    /// The time was over before all processes were looked at.
    pub(super) is_cut_off: bool,
}

/// Searches all processes for those that hold the socket with this inode, until `deadline`.
pub(super) fn search(inode: u32, deadline: Instant) -> Search {
    let mut search = Search { holders: Vec::new(), is_cut_off: false };
    for pid in all() {
        if Instant::now() >= deadline {
            search.is_cut_off = true;
            break;
        }
        if holds(pid, inode, usize::MAX) == Holds::Yes {
            search.holders.push(pid);
        }
    }
    search
}

fn all() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Returns the path of a process's control group in the hierarchy of the service manager.
pub(super) fn control_group(pid: u32) -> Option<String> {
    let text = read(&format!("/proc/{pid}/cgroup"))?;
    let unified = text.lines().find_map(|line| line.strip_prefix("0::")).filter(|path| *path != "/");
    // Where the manager does not use the unified hierarchy it has one of its own.
    let named = || text.lines().find_map(|line| line.split_once(":name=systemd:")).map(|(_, path)| path);
    unified.or_else(named).map(str::to_owned)
}

/// Returns the real, effective, saved and file system user of a process.
pub(super) fn users(pid: u32) -> Vec<u32> {
    let status = read(&format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    line.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// Returns the names by which a process is known: that of the kernel, and that of its first argument.
pub(super) fn names(pid: u32) -> Vec<String> {
    let comm = read(&format!("/proc/{pid}/comm")).map(|name| name.trim_end().to_owned());
    let arguments = read(&format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let first = arguments.split('\0').next().and_then(|first| Path::new(first).file_name());
    comm.into_iter().chain(first.map(|first| first.to_string_lossy().into_owned())).collect()
}

/// Describes a process for the log.
pub(super) fn describe(pid: u32, uid: u32) -> String {
    let name = names(pid).into_iter().next().unwrap_or_default();
    // Any program chooses its own name.
    let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    format!("process {pid} ({name}, uid {uid})")
}

fn read(path: &str) -> Option<String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::time::Duration;

    fn inode(listener: &TcpListener) -> u32 {
        rustix::fs::fstat(listener).unwrap().st_ino.try_into().unwrap()
    }

    #[test]
    fn the_holder_of_a_socket_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (own, inode) = (std::process::id(), inode(&listener));
        assert_eq!(holds(own, inode, usize::MAX), Holds::Yes);
        let deadline = Instant::now() + Duration::from_secs(60);
        // A process that another test starts has a copy until it executes its program.
        let alone = Search { holders: vec![own], is_cut_off: false };
        let found = || Ok((search(inode, deadline) == alone).then_some(()));
        dormouse_tests::wait::until("one holder", dormouse_tests::wait::SOON, found).unwrap();
        drop(listener);
        assert_eq!(holds(own, inode, usize::MAX), Holds::No);
        assert_eq!(holds(u32::MAX, inode, usize::MAX), Holds::No);
    }

    /// The kernel may refuse its descriptors to all but root.
    #[test]
    fn an_ended_process_holds_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        // Waits for the end, and leaves the process to be reaped.
        let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(id), options).unwrap();
        assert_eq!(holds(child.id(), inode(&listener), usize::MAX), Holds::No);
        child.wait().unwrap();
    }

    #[test]
    fn a_search_ends_at_its_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = search(inode(&listener), Instant::now());
        assert_eq!(found, Search { holders: Vec::new(), is_cut_off: true });
    }

    #[test]
    fn a_process_is_described() {
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(users(std::process::id())[1], uid);
        let text = describe(std::process::id(), uid);
        assert!(text.starts_with(&format!("process {} (", std::process::id())), "{text}");
        assert!(text.ends_with(&format!(", uid {uid})")), "{text}");
    }
}
