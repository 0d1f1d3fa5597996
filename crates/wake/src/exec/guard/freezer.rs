//! Freezing all of it: by the kernel's freezer in a control group of its own where we may make one, else by SIGSTOP.
//!
//! The group is made at the first freeze: moving a process costs milliseconds, and a start must not.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::getxattr;
use rustix::process::{Pid, Signal, getpid};

use super::family::{descendants, is_still, signal};

/// What is not frozen by then cannot be.
const LIMIT: Duration = Duration::from_secs(5);
/// Marks of a group that its manager leaves to us.
const DELEGATED: [&str; 2] = ["user.delegate", "trusted.delegate"];
/// How often a group may be busy when it is removed, with a pause in between.
const REMOVALS: u32 = 50;

/// How all of it is frozen.
#[derive(Debug, Default)]
pub(super) struct Freezer {
    group: Option<PathBuf>,
    /// No group of our own can be had.
    groupless: bool,
    /// What was sent SIGSTOP.
    asked: HashSet<Pid>,
    /// Since when it is being frozen.
    since: Option<Instant>,
}

/// How far the freezing is.
pub(super) enum Progress {
    /// Look again soon.
    Under,
    /// Nothing of it moves.
    Done,
    /// It cannot be done, for this reason.
    Failed(String),
}

impl Freezer {
    /// Begins; [`Self::go_on`] is to be called until it is done.
    pub(super) fn begin(&mut self) {
        self.since = Some(Instant::now());
        self.asked.clear();
        if self.group.is_none() && !self.groupless {
            self.group = make_group();
            self.groupless = self.group.is_none();
        }
        let Some(group) = &self.group else { return };
        if gather(group).and_then(|()| fs::write(group.join("cgroup.freeze"), "1")).is_err() {
            self.leave_group();
        }
    }

    /// Whether it is done now. What is born meanwhile is frozen, too.
    pub(super) fn go_on(&mut self) -> Progress {
        let family = descendants();
        let done = if let Some(group) = &self.group {
            fs::read_to_string(group.join("cgroup.events"))
                .is_ok_and(|events| events.lines().any(|line| line == "frozen 1"))
                && family.iter().all(|pid| is_member(*pid, group))
        } else {
            let moving: Vec<Pid> =
                family.into_iter().filter(|pid| !self.asked.contains(pid) || !is_still(*pid)).collect();
            self.asked.extend(&moving);
            if let Err(pid) = signal(&moving, Signal::STOP) {
                return Progress::Failed(format!(
                    "process {pid} belongs to somebody else and cannot be stopped"
                ));
            }
            moving.is_empty()
        };
        let late = self.since.is_some_and(|since| since.elapsed() > LIMIT);
        if done {
            Progress::Done
        } else if late {
            Progress::Failed(format!("it still moved after {} s", LIMIT.as_secs()))
        } else {
            Progress::Under
        }
    }

    /// Lets all of it go on. No harm where nothing is frozen.
    pub(super) fn thaw(&mut self) {
        self.since = None;
        if let Some(group) = &self.group {
            let _ = fs::write(group.join("cgroup.freeze"), "0");
        }
        // Even with a group: a descendant may have been stopped before we could make one.
        let _ = signal(&descendants(), Signal::CONT);
    }

    /// Kills all that is in the group, at one stroke.
    pub(super) fn kill(&self) {
        if let Some(group) = &self.group {
            let _ = fs::write(group.join("cgroup.kill"), "1");
        }
    }

    /// Removes the group; nothing is in it any more.
    pub(super) fn remove(&mut self) {
        let Some(group) = self.group.take() else { return };
        for _ in 0..REMOVALS {
            match fs::remove_dir(&group) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                _ => return,
            }
        }
    }

    /// Gives the group up; whatever is in it goes back to where we are.
    fn leave_group(&mut self) {
        self.groupless = true;
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

/// Moves all of it into the group; children of what is there are born there.
fn gather(group: &Path) -> io::Result<()> {
    let procs = group.join("cgroup.procs");
    // A fork may escape one look, not many: whoever was moved has its children inside.
    for _ in 0..REMOVALS {
        let outside: Vec<Pid> = descendants().into_iter().filter(|pid| !is_member(*pid, group)).collect();
        if outside.is_empty() {
            return Ok(());
        }
        for pid in outside {
            match fs::write(&procs, pid.to_string()) {
                // It has ended.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                moved => moved?,
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Whether it is in this group, or has ended.
fn is_member(pid: Pid, group: &Path) -> bool {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/cgroup")) else { return true };
    let name = group.file_name().map(|name| format!("/{}", name.to_string_lossy())).unwrap_or_default();
    unified(&text).is_none_or(|path| path.ends_with(&name)) || is_zombie(pid)
}

fn is_zombie(pid: Pid) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// A new group below ours; `None` where we may not, or should not, have one.
fn make_group() -> Option<PathBuf> {
    let ours = our_group()?;
    if Path::new("/run/systemd/system").exists() && !is_delegated(&ours) {
        return None;
    }
    let group = ours.join(format!("dormouse-{}", getpid()));
    fs::create_dir(&group).ok()?;
    if group.join("cgroup.freeze").exists() {
        return Some(group);
    }
    let _ = fs::remove_dir(&group);
    None
}

/// Groups are the service manager's, except those that it says it leaves to us (`Delegate=`).
fn is_delegated(group: &Path) -> bool {
    let marked = |group: &Path| {
        DELEGATED.iter().any(|mark| {
            let mut value = [0; 8];
            getxattr(group, *mark, &mut value).is_ok_and(|length| value.get(..length) == Some(b"1"))
        })
    };
    // We may have been put into a subgroup of it (`DelegateSubgroup=`).
    marked(group) || group.parent().is_some_and(marked)
}

/// The directory of the group that we are in.
fn our_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = unified(&groups)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let (root, mounted) = mounts.lines().find_map(cgroup2_mount)?;
    let below = path.strip_prefix(root.trim_end_matches('/'))?;
    Some(Path::new(mounted).join(below.trim_start_matches('/')))
}

/// The path in the unified hierarchy, of /proc/PID/cgroup.
fn unified(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// What of the hierarchy is mounted, and where, of a line of /proc/self/mountinfo.
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
    fn mounts_and_groups_are_read() {
        let line = "42 32 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(cgroup2_mount(line), Some(("/", "/sys/fs/cgroup")));
        assert_eq!(cgroup2_mount("42 32 0:27 / /proc rw - proc proc rw"), None);
        assert_eq!(cgroup2_mount("junk"), None);
        assert_eq!(unified("9:name=systemd:/x\n0::/a/b\n"), Some("/a/b"));
        assert_eq!(unified("9:name=systemd:/x\n"), None);
    }
}
