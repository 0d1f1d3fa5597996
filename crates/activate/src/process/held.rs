//! A process that a file descriptor holds. The kernel gives the number of an ended process to a new one, so a number
//! alone may mean another process by the time it is used.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use dormouse_sys::pidfd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// The largest part of a file in /proc that is read, in bytes. A process chooses the length of its environment.
const MAX_FILE: u64 = 1 << 20;

/// A process that stays the same one, whatever happens to its number.
#[derive(Debug)]
pub(crate) struct HeldProcess {
    pid: Pid,
    hold: Hold,
}

#[derive(Debug)]
enum Hold {
    Fd(OwnedFd),
    /// A child that this process has not reaped. Until then no other process gets its number.
    Child,
}

/// What /proc/PID/stat contains about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The state, a letter as in ps(1).
    pub(crate) state: char,
    pub(crate) parent: Option<Pid>,
    pub(crate) session: Option<Pid>,
    /// The process is ending or has ended: it executes nothing any more.
    pub(crate) is_ending: bool,
    /// The time of the start in clock ticks after the boot.
    pub(crate) started: u64,
}

/// The flag of a process that is ending (`PF_EXITING` of the kernel's linux/sched.h).
const EXITING: u32 = 0x4;

impl HeldProcess {
    /// Returns the process that has this number now.
    ///
    /// # Errors
    /// When no process has the number, no descriptors are left, or the kernel has no pidfds (before Linux 5.3).
    pub(crate) fn open(pid: Pid) -> Result<Self, Errno> {
        Ok(Self { pid, hold: Hold::Fd(pidfd_open(pid, PidfdFlags::empty())?) })
    }

    /// Returns a child of this process. The caller reaps no child before it drops the value.
    pub(crate) fn child(pid: Pid) -> Self {
        Self { pid, hold: Hold::Child }
    }

    /// Returns the number of the process.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns whether the process still has its number: it runs, or it has ended and nobody has reaped it.
    pub(crate) fn exists(&self) -> bool {
        match &self.hold {
            Hold::Fd(fd) => pidfd::exists(fd),
            Hold::Child => true,
        }
    }

    /// Reads a file of the process in /proc. Returns `None` if the process was reaped or the file cannot be read.
    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        let file = File::open(format!("/proc/{}/{name}", self.pid)).ok()?;
        let mut text = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut text).ok()?;
        // The number still means this process, so it did when the file was read.
        self.exists().then_some(text)
    }

    /// Returns the state and the relations of the process; `None` if it was reaped.
    pub(crate) fn stat(&self) -> Option<Stat> {
        parse_stat(&String::from_utf8_lossy(&self.read("stat")?))
    }

    /// Sends a signal to this process, never to another one.
    ///
    /// # Errors
    /// The errors of kill(2).
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Errno> {
        match &self.hold {
            Hold::Fd(fd) => pidfd_send_signal(fd, signal),
            Hold::Child => kill_process(self.pid, signal),
        }
    }
}

/// Parses the contents of /proc/PID/stat.
pub(crate) fn parse_stat(text: &str) -> Option<Stat> {
    // The name, in parentheses, may contain parentheses and spaces.
    let mut fields = text.rsplit_once(") ")?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = parse_pid(fields.next()?);
    let session = parse_pid(fields.nth(1)?);
    let flags: u32 = fields.nth(2)?.parse().ok()?;
    let started = fields.nth(12)?.parse().ok()?;
    Some(Stat { state, parent, session, is_ending: flags & EXITING != 0, started })
}

/// Parses the number of a process. Zero, which stands for none, is `None`.
pub(crate) fn parse_pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::process::{getpid, getppid};

    #[test]
    fn the_fields_of_this_process_are_found() {
        let stat = HeldProcess::open(getpid()).unwrap().stat().unwrap();
        assert_eq!(stat.parent, getppid());
        let text = "7 (a) b) S 3 7 5 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987 1 1 1\n";
        let (parent, session) = (Pid::from_raw(3), Pid::from_raw(5));
        let expected = Stat { state: 'S', parent, session, is_ending: false, started: 987 };
        assert_eq!(parse_stat(text), Some(expected));
        let ending = parse_stat(&text.replace("4194560", "4194564"));
        assert_eq!(ending, Some(Stat { is_ending: true, ..expected }));
        for junk in ["", "7 (a) S", "7 (a) S 3 7 5 0"] {
            assert_eq!(parse_stat(junk), None, "{junk}");
        }
    }

    /// The first process of a container has a parent outside, and a session that may have been made outside.
    #[test]
    fn what_is_outside_the_pid_namespace_is_none() {
        let text = "7 (a) S 0 0 0 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987 1 1 1\n";
        assert_eq!(
            parse_stat(text),
            Some(Stat { state: 'S', parent: None, session: None, is_ending: false, started: 987 })
        );
    }

    #[test]
    fn the_session_of_a_process_is_found() {
        let mut child = Command::new("setsid").args(["sleep", "1000"]).spawn().unwrap();
        let held = HeldProcess::open(Pid::from_raw(child.id().try_into().unwrap()).unwrap()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while held.stat().unwrap().session != Some(held.pid()) {
            assert!(Instant::now() < deadline, "{:?}", held.stat());
            thread::sleep(Duration::from_millis(5));
        }
        held.signal(Signal::KILL).unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn an_ended_process_is_not_mistaken_for_another() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let held = HeldProcess::open(Pid::from_raw(child.id().try_into().unwrap()).unwrap()).unwrap();
        assert_eq!(held.stat().unwrap().parent, Some(getpid()));
        held.signal(Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(!held.exists());
        assert_eq!(held.stat(), None);
        assert_eq!(held.signal(Signal::KILL), Err(Errno::SRCH));
    }
}
