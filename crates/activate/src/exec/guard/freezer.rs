//! Freezing all descendants of the guard: by the cgroup freezer where the guard may create a control group, by SIGSTOP
//! otherwise.
//!
//! The first freeze creates the group, because moving a process takes milliseconds that a start should not take.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::getxattr;
use rustix::process::{Pid, Signal, getpid};

use super::descendants::{descendants, is_stopped, signal_all};

/// The time that a freeze may take.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(5);
/// The extended attributes of a delegated group (`Delegate=`).
const DELEGATED: [&str; 2] = ["user.delegate", "trusted.delegate"];
/// How often to retry an operation on the group that concurrent forks or exits disturb.
const ATTEMPTS: u32 = 50;

/// Freezes and thaws all descendants of the guard.
#[derive(Debug, Default)]
pub(super) struct Freezer {
    group: Option<PathBuf>,
    /// The guard cannot create a group.
    without_group: bool,
    /// The processes that were sent SIGSTOP.
    signalled: HashSet<Pid>,
    /// The start of the freeze in progress.
    started: Option<Instant>,
}

/// The progress of a freeze.
pub(super) enum Progress {
    /// It is not complete yet; poll again.
    Pending,
    /// All descendants are frozen.
    Done,
    /// It failed, for this reason.
    Failed(String),
}

impl Freezer {
    /// Starts a freeze. The caller calls [`Self::poll`] until it is complete.
    pub(super) fn start(&mut self) {
        self.started = Some(Instant::now());
        self.signalled.clear();
        if self.group.is_none() && !self.without_group {
            self.group = create_group();
            self.without_group = self.group.is_none();
        }
        let Some(group) = &self.group else { return };
        if move_all_to(group).and_then(|()| fs::write(group.join("cgroup.freeze"), "1")).is_err() {
            self.abandon_group();
        }
    }

    /// Continues a freeze, and returns its progress. New descendants are frozen, too.
    pub(super) fn poll(&mut self) -> Progress {
        let all = descendants();
        let done = if let Some(group) = &self.group {
            fs::read_to_string(group.join("cgroup.events"))
                .is_ok_and(|events| events.lines().any(|line| line == "frozen 1"))
                && all.iter().all(|pid| is_member(*pid, group))
        } else {
            let running: Vec<Pid> =
                all.into_iter().filter(|pid| !self.signalled.contains(pid) || !is_stopped(*pid)).collect();
            self.signalled.extend(&running);
            if let Err(pid) = signal_all(&running, Signal::STOP) {
                return Progress::Failed(format!(
                    "process {pid} belongs to another user and cannot be stopped"
                ));
            }
            running.is_empty()
        };
        let late = self.started.is_some_and(|started| started.elapsed() > FREEZE_TIMEOUT);
        if done {
            Progress::Done
        } else if late {
            Progress::Failed(format!("it was not frozen within {} s", FREEZE_TIMEOUT.as_secs()))
        } else {
            Progress::Pending
        }
    }

    /// Thaws all descendants. Does nothing if they are not frozen.
    pub(super) fn thaw(&mut self) {
        self.started = None;
        if let Some(group) = &self.group {
            let _ = fs::write(group.join("cgroup.freeze"), "0");
        }
        // Also with a group: an earlier freeze may have stopped a descendant by SIGSTOP.
        let _ = signal_all(&descendants(), Signal::CONT);
    }

    /// Kills all processes in the group at once.
    pub(super) fn kill(&self) {
        if let Some(group) = &self.group {
            let _ = fs::write(group.join("cgroup.kill"), "1");
        }
    }

    /// Removes the empty group.
    pub(super) fn remove(&mut self) {
        let Some(group) = self.group.take() else { return };
        for _ in 0..ATTEMPTS {
            match fs::remove_dir(&group) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                _ => return,
            }
        }
    }

    /// Moves the processes back to the guard's group, and stops using a group.
    fn abandon_group(&mut self) {
        self.without_group = true;
        let Some(group) = &self.group else { return };
        let _ = fs::write(group.join("cgroup.freeze"), "0");
        if let (Some(parent), Ok(members)) = (group.parent(), fs::read_to_string(group.join("cgroup.procs")))
        {
            for pid in members.lines() {
                let _ = fs::write(parent.join("cgroup.procs"), pid);
            }
        }
        self.remove();
    }
}

/// Moves all descendants into the group. Their new children belong to it from the start.
fn move_all_to(group: &Path) -> io::Result<()> {
    let procs = group.join("cgroup.procs");
    // A concurrent fork may escape one pass, but not many: children of a moved process are inside.
    for _ in 0..ATTEMPTS {
        let outside: Vec<Pid> = descendants().into_iter().filter(|pid| !is_member(*pid, group)).collect();
        if outside.is_empty() {
            return Ok(());
        }
        for pid in outside {
            match fs::write(&procs, pid.to_string()) {
                // The process has ended.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                moved => moved?,
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Returns whether a process is in this group, or has ended.
fn is_member(pid: Pid, group: &Path) -> bool {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/cgroup")) else { return true };
    let name = group.file_name().map(|name| format!("/{}", name.to_string_lossy())).unwrap_or_default();
    unified_path(&text).is_none_or(|path| path.ends_with(&name)) || is_zombie(pid)
}

fn is_zombie(pid: Pid) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// Creates a group below that of the guard; `None` where the guard may not, or should not, do so.
fn create_group() -> Option<PathBuf> {
    let own = own_group()?;
    if Path::new("/run/systemd/system").exists() && !is_delegated(&own) {
        return None;
    }
    let group = own.join(format!("dormouse-{}", getpid()));
    fs::create_dir(&group).ok()?;
    if group.join("cgroup.freeze").exists() {
        return Some(group);
    }
    let _ = fs::remove_dir(&group);
    None
}

/// Returns whether the service manager has delegated a group (`Delegate=`). It owns all other groups.
fn is_delegated(group: &Path) -> bool {
    let marked = |group: &Path| {
        DELEGATED.iter().any(|mark| {
            let mut value = [0; 8];
            getxattr(group, *mark, &mut value).is_ok_and(|length| value.get(..length) == Some(b"1"))
        })
    };
    // With `DelegateSubgroup=` the process is in a subgroup of the delegated group.
    marked(group) || group.parent().is_some_and(marked)
}

/// Returns the directory of the group that this process is in.
fn own_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    directory_of_group(unified_path(&groups)?)
}

/// Returns the directory of the group with this path in the unified hierarchy.
pub(crate) fn directory_of_group(path: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let (root, mounted) = mounts.lines().find_map(cgroup2_mount)?;
    let below = path.strip_prefix(root.trim_end_matches('/'))?;
    Some(Path::new(mounted).join(below.trim_start_matches('/')))
}

/// Returns the path in the unified hierarchy, from the text of /proc/PID/cgroup.
fn unified_path(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Returns the root and the mount point of a cgroup2 mount, from a line of /proc/self/mountinfo.
fn cgroup2_mount(line: &str) -> Option<(&str, &str)> {
    let (mount, kind) = line.split_once(" - ")?;
    if !kind.starts_with("cgroup2 ") {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    Some((fields.next()?, fields.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_and_groups_are_parsed() {
        let line = "42 32 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(cgroup2_mount(line), Some(("/", "/sys/fs/cgroup")));
        assert_eq!(cgroup2_mount("42 32 0:27 / /proc rw - proc proc rw"), None);
        assert_eq!(cgroup2_mount("junk"), None);
        assert_eq!(unified_path("9:name=systemd:/x\n0::/a/b\n"), Some("/a/b"));
        assert_eq!(unified_path("9:name=systemd:/x\n"), None);
    }
}
