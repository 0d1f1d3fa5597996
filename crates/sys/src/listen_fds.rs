//! Descriptors passed by a service manager (`sd_listen_fds(3)`).

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use dormouse_core::number::{NumberError, parse_pid, parse_u32, parse_u64};

/// The first passed descriptor, `SD_LISTEN_FDS_START`.
const LISTEN_FDS_START: RawFd = 3;
/// `PID_FS_MAGIC` of linux/magic.h: only on this file system does an inode number identify a process.
const PID_FS_MAGIC: u64 = 0x5049_4446;

/// A descriptor that the service manager passed to this process.
#[derive(Debug)]
pub struct PassedFd {
    /// The descriptor, which is close-on-exec.
    pub fd: OwnedFd,
    /// The `FileDescriptorName=`, or `unknown` if the manager passed no names.
    pub name: String,
}

/// What the service manager passed to this process.
#[derive(Debug, Default)]
pub struct PassedFds {
    /// The descriptors.
    pub fds: Vec<PassedFd>,
    /// The names of further descriptors, which `LISTEN_FDS` does not include, so that nobody serves them.
    pub left_out: Vec<String>,
}

/// Why the passed descriptors could not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenFdsError {
    /// `LISTEN_PID` is not a process ID.
    BadPid(String),
    /// `LISTEN_PIDFDID` is not a number.
    BadPidfdId(String),
    /// `LISTEN_FDS` is zero, not a number, or larger than any descriptor table.
    BadCount(String),
    /// `LISTEN_FDS` covers the descriptor of this number, but the manager did not pass it.
    NotPassed(RawFd),
}

impl fmt::Display for ListenFdsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPid(value) => write!(f, "LISTEN_PID={value} is not a process"),
            Self::BadPidfdId(value) => write!(f, "LISTEN_PIDFDID={value} is not a pidfd's inode number"),
            Self::BadCount(value) => write!(f, "LISTEN_FDS={value} is not a positive number of descriptors"),
            Self::NotPassed(fd) => write!(f, "LISTEN_FDS includes descriptor {fd}, which was not passed"),
        }
    }
}

impl std::error::Error for ListenFdsError {}

/// Takes the descriptors that the service manager passed to this process. `main` calls this before anything else.
///
/// Returns none if none were passed to this process (`LISTEN_PID` is unset, `LISTEN_PID` or `LISTEN_PIDFDID`
/// names another process, or there is no `LISTEN_FDS`). The variables stay. They name this process, so no child process
/// uses them.
///
/// # Errors
/// When descriptors were passed to this process but cannot be taken.
pub fn take() -> Result<PassedFds, ListenFdsError> {
    let variables = Variables::read();
    if !variables.name_this_process()? {
        return Ok(PassedFds::default());
    }
    let Some(count) = &variables.fds else { return Ok(PassedFds::default()) };
    let count = parse_count(count)?;
    let (names, left_out) = split_names(variables.names.as_deref(), count);
    let mut fds = Vec::new();
    for (fd, name) in (LISTEN_FDS_START..).zip(names) {
        let fd = claim(fd).ok_or(ListenFdsError::NotPassed(fd))?;
        fds.push(PassedFd { fd, name });
    }
    Ok(PassedFds { fds, left_out })
}

/// The environment variables of the protocol.
struct Variables {
    pid: Option<OsString>,
    pidfd_id: Option<OsString>,
    fds: Option<OsString>,
    names: Option<OsString>,
}

impl Variables {
    fn read() -> Self {
        let get = |name| std::env::var_os(name);
        Self {
            pid: get("LISTEN_PID"),
            pidfd_id: get("LISTEN_PIDFDID"),
            fds: get("LISTEN_FDS"),
            names: get("LISTEN_FDNAMES"),
        }
    }

    /// Returns whether the variables name this process: by its ID, and by its pidfd's inode if both sides have it.
    fn name_this_process(&self) -> Result<bool, ListenFdsError> {
        let Some(pid) = &self.pid else { return Ok(false) };
        if parse_number(pid, parse_pid).map_err(ListenFdsError::BadPid)? != std::process::id() {
            return Ok(false);
        }
        let Some(pidfd_id) = &self.pidfd_id else { return Ok(true) };
        let pidfd_id = parse_number(pidfd_id, parse_u64).map_err(ListenFdsError::BadPidfdId)?;
        Ok(own_pidfd_id().is_none_or(|own| own == pidfd_id))
    }
}

/// Parses a variable by systemd's grammar of numbers. The error is the variable's text.
fn parse_number<N>(value: &OsStr, parse: fn(&str) -> Result<N, NumberError>) -> Result<N, String> {
    let number = value.to_str().and_then(|text| parse(text).ok());
    number.ok_or_else(|| value.to_string_lossy().into_owned())
}

/// Returns the inode number of this process's pidfd, or `None` without pidfs (before Linux 6.9).
fn own_pidfd_id() -> Option<u64> {
    let pid = rustix::process::getpid();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
    let magic = rustix::fs::fstatfs(&pidfd).ok()?.f_type;
    #[expect(clippy::cast_sign_loss, reason = "f_type is a bit pattern whose sign means nothing")]
    let is_pidfs = magic as u64 == PID_FS_MAGIC;
    if is_pidfs { Some(rustix::fs::fstat(&pidfd).ok()?.st_ino) } else { None }
}

fn parse_count(value: &OsStr) -> Result<usize, ListenFdsError> {
    let count = parse_number(value, parse_u32).map_err(ListenFdsError::BadCount)?;
    // A count that no descriptor table can hold is rejected before anything is allocated for it.
    let count = usize::try_from(count).ok().filter(|count| (1..=1 << 20).contains(count));
    count.ok_or_else(|| ListenFdsError::BadCount(value.to_string_lossy().into_owned()))
}

/// Splits `LISTEN_FDNAMES` at each ':' without merging. Without the variable, or if it contains another number of
/// names, every name is `unknown`, and the sockets are used all the same. Also returns the names beyond the count.
fn split_names(names: Option<&OsStr>, count: usize) -> (Vec<String>, Vec<String>) {
    let unknown = || vec!["unknown".to_owned(); count];
    let Some(names) = names else { return (unknown(), Vec::new()) };
    let mut names: Vec<_> = names.to_string_lossy().split(':').map(str::to_owned).collect();
    if names.len() == count {
        return (names, Vec::new());
    }
    (unknown(), names.split_off(names.len().min(count)))
}

/// Takes ownership of an inherited descriptor and makes it close-on-exec. Returns `None` if there is no such
/// descriptor.
///
/// A descriptor that this process opened is close-on-exec already, as all Rust libraries open it. An inherited
/// descriptor cannot be close-on-exec. So a descriptor with another owner is never taken, and none is taken twice.
fn claim(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_GETFD and F_SETFD touch no memory and accept any number: a closed one returns EBADF.
    let inherited = unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFD);
        flags >= 0
            && flags & libc::FD_CLOEXEC == 0
            && libc::fcntl(fd, libc::F_SETFD, flags | libc::FD_CLOEXEC) >= 0
    };
    // SAFETY: the descriptor is open, no code of this process opened it (see above), and it is claimed only once.
    inherited.then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_the_grammar_of_systemd() {
        for (text, count) in [("2", 2), ("0x2", 2), ("0b10", 2), ("010", 8), (" 1", 1), ("+1", 1)] {
            assert_eq!(parse_count(text.as_ref()), Ok(count), "{text}");
        }
        for bad in ["0", "-1", "", "x", "1x", "1 ", "08", "99999999999", "2147483647"] {
            assert_eq!(parse_count(bad.as_ref()), Err(ListenFdsError::BadCount(bad.to_owned())));
        }
    }

    #[test]
    fn names_are_split_without_merging() {
        let split = |names: Option<&str>, count| split_names(names.map(str::as_ref), count);
        let of = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(split(Some("a::b"), 3), (of(&["a", "", "b"]), of(&[])));
        assert_eq!(split(None, 2), (of(&["unknown", "unknown"]), of(&[])));
        assert_eq!(split(Some("a"), 2), (of(&["unknown", "unknown"]), of(&[])));
        assert_eq!(split(Some("a:b:c"), 1), (of(&["unknown"]), of(&["b", "c"])));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no F_SETFD")]
    fn only_inherited_descriptors_are_claimed_and_only_once() {
        use std::os::fd::{AsRawFd, IntoRawFd};
        let ours = std::fs::File::open("/dev/null").unwrap();
        assert!(claim(ours.as_raw_fd()).is_none(), "opened by this process");
        rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::empty()).unwrap();
        let number = ours.into_raw_fd();
        let claimed = claim(number).unwrap();
        assert!(claim(number).is_none(), "twice");
        drop(claimed);
        assert!(claim(1 << 19).is_none(), "never opened");
    }

    #[test]
    fn variables_for_another_process_are_ignored() {
        let own = std::process::id();
        for ours in [format!("{own}"), format!(" {own}"), format!("{own:#x}"), format!("0{own:o}")] {
            assert_eq!(variables(&ours, None).name_this_process(), Ok(true), "{ours}");
        }
        assert_eq!(variables(&another_pid(), None).name_this_process(), Ok(false));
        for bad in ["junk", "", "0", "3000000000", "09"] {
            assert_eq!(variables(bad, None).name_this_process(), Err(ListenFdsError::BadPid(bad.to_owned())));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no pidfds")]
    fn variables_for_another_pidfd_are_ignored() {
        let own = own_pidfd_id().expect("pidfs is missing: this test needs Linux 6.9");
        let pid = std::process::id().to_string();
        let of = |id: &str| variables(&pid, Some(id)).name_this_process();
        assert_eq!(of(&own.to_string()), Ok(true));
        assert_eq!(of(&(own ^ 1).to_string()), Ok(false));
        for bad in ["junk", ""] {
            assert_eq!(of(bad), Err(ListenFdsError::BadPidfdId(bad.to_owned())));
        }
    }

    #[test]
    fn the_pidfd_id_is_ignored_if_the_pid_is_another() {
        assert_eq!(variables(&another_pid(), Some("junk")).name_this_process(), Ok(false));
    }

    fn another_pid() -> String {
        (std::process::id() + 1).to_string()
    }

    fn variables(pid: &str, pidfd_id: Option<&str>) -> Variables {
        Variables { pid: Some(pid.into()), pidfd_id: pidfd_id.map(OsString::from), fds: None, names: None }
    }
}
