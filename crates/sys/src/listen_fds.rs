//! Sockets passed in by a service manager (`sd_listen_fds(3)`).

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use dormouse_core::number::{NumberError, parse_pid, parse_u32, parse_u64};

/// The first passed descriptor, `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;
/// `PID_FS_MAGIC` of linux/magic.h: only there is an inode number a process identity.
const PID_FS_MAGIC: u64 = 0x5049_4446;

/// One descriptor that the service manager handed to this process.
#[derive(Debug)]
pub struct PassedFd {
    /// The descriptor, close-on-exec.
    pub fd: OwnedFd,
    /// Its `FileDescriptorName=`, or `unknown` where the manager gave none.
    pub name: String,
}

/// Why the passed descriptors could not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenFdsError {
    /// `LISTEN_PID` is not a process's number.
    BadPid(String),
    /// `LISTEN_PIDFDID` is not a number.
    BadPidfdId(String),
    /// `LISTEN_FDS` is zero, not a number, or reaches past the descriptors there can be.
    BadCount(String),
    /// The descriptor of this number was promised but not passed.
    NotPassed(RawFd),
}

impl fmt::Display for ListenFdsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPid(value) => write!(f, "LISTEN_PID={value} is not a process"),
            Self::BadPidfdId(value) => write!(f, "LISTEN_PIDFDID={value} is not a pidfd's inode number"),
            Self::BadCount(value) => write!(f, "LISTEN_FDS={value} is not a positive number of descriptors"),
            Self::NotPassed(fd) => write!(f, "LISTEN_FDS promises descriptor {fd}, which was not passed"),
        }
    }
}

impl std::error::Error for ListenFdsError {}

/// Takes the descriptors that the service manager passed to this process. To be called first thing in `main`.
///
/// Returns an empty list where none were meant for this process (`LISTEN_PID` or `LISTEN_PIDFDID` unset or
/// another's, or no `LISTEN_FDS`). The variables stay; they name this process, so no child takes them for its own.
///
/// # Errors
/// When descriptors were meant for this process but cannot be taken.
pub fn take() -> Result<Vec<PassedFd>, ListenFdsError> {
    let variables = Variables::read();
    if !variables.are_ours()? {
        return Ok(Vec::new());
    }
    let Some(count) = &variables.fds else { return Ok(Vec::new()) };
    let count = parse_count(count)?;
    let names = split_names(variables.names.as_deref(), count);
    let mut passed = Vec::new();
    for (fd, name) in (FIRST..).zip(names) {
        let fd = claim(fd).ok_or(ListenFdsError::NotPassed(fd))?;
        passed.push(PassedFd { fd, name });
    }
    Ok(passed)
}

/// The protocol's variables as they came.
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

    /// Whether this very process is meant: by its number, and by its pidfd's inode where both sides know it.
    fn are_ours(&self) -> Result<bool, ListenFdsError> {
        let Some(pid) = &self.pid else { return Ok(false) };
        if number(pid, parse_pid).map_err(ListenFdsError::BadPid)? != std::process::id() {
            return Ok(false);
        }
        let Some(told) = &self.pidfd_id else { return Ok(true) };
        let told = number(told, parse_u64).map_err(ListenFdsError::BadPidfdId)?;
        Ok(own_pidfd_id().is_none_or(|own| own == told))
    }
}

/// What a variable says in systemd's grammar of numbers, or the variable's text if that is none.
fn number<N>(value: &OsStr, parse: fn(&str) -> Result<N, NumberError>) -> Result<N, String> {
    let number = value.to_str().and_then(|text| parse(text).ok());
    number.ok_or_else(|| value.to_string_lossy().into_owned())
}

/// The inode number of a pidfd for this process, where the kernel has pidfs (6.9).
fn own_pidfd_id() -> Option<u64> {
    let pid = rustix::process::getpid();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
    let magic = rustix::fs::fstatfs(&pidfd).ok()?.f_type;
    #[expect(clippy::cast_sign_loss, reason = "f_type is a bit pattern whose sign means nothing")]
    let is_pidfs = magic as u64 == PID_FS_MAGIC;
    if is_pidfs { Some(rustix::fs::fstat(&pidfd).ok()?.st_ino) } else { None }
}

fn parse_count(value: &OsStr) -> Result<usize, ListenFdsError> {
    let count = number(value, parse_u32).map_err(ListenFdsError::BadCount)?;
    // More than the descriptor table can hold is no count at all, and nothing is allocated for it.
    let count = usize::try_from(count).ok().filter(|count| (1..=1 << 20).contains(count));
    count.ok_or_else(|| ListenFdsError::BadCount(value.to_string_lossy().into_owned()))
}

/// Splits `LISTEN_FDNAMES` at each ':' without merging. Without the variable, or where it holds another number of
/// names, every name is `unknown`: the sockets are good all the same.
fn split_names(names: Option<&OsStr>, count: usize) -> Vec<String> {
    let names = names.map(|names| names.to_string_lossy().split(':').map(str::to_owned).collect::<Vec<_>>());
    names.filter(|names| names.len() == count).unwrap_or_else(|| vec!["unknown".to_owned(); count])
}

/// Takes over an inherited descriptor, which is close-on-exec from now on; `None` if there is none of this number.
///
/// Whatever this process opened itself is close-on-exec already (as all of Rust's libraries do it), and what was
/// inherited over exec cannot be: so nobody else's descriptor is ever taken, nor one taken twice.
fn claim(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_GETFD and F_SETFD touch no memory, and any number may be asked about: a closed one gives EBADF.
    let inherited = unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFD);
        flags >= 0
            && flags & libc::FD_CLOEXEC == 0
            && libc::fcntl(fd, libc::F_SETFD, flags | libc::FD_CLOEXEC) >= 0
    };
    // SAFETY: it is open, nobody in this process opened it (see above), and it is claimed but once.
    inherited.then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        for (text, count) in [("2", 2), ("0x2", 2), ("0b10", 2), ("010", 8), (" 1", 1), ("+1", 1)] {
            assert_eq!(parse_count(text.as_ref()), Ok(count), "{text}");
        }
        for bad in ["0", "-1", "", "x", "1x", "1 ", "08", "99999999999", "2147483647"] {
            assert_eq!(parse_count(bad.as_ref()), Err(ListenFdsError::BadCount(bad.to_owned())));
        }
    }

    #[test]
    fn names_are_split_without_merging() {
        assert_eq!(split_names(Some("a::b".as_ref()), 3), ["a", "", "b"]);
        assert_eq!(split_names(None, 2), ["unknown", "unknown"]);
        assert_eq!(split_names(Some("a".as_ref()), 2), ["unknown", "unknown"]);
    }

    #[test]
    fn only_what_was_inherited_is_claimed_and_once() {
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
    fn another_process_is_not_us() {
        let own = std::process::id();
        for ours in [format!("{own}"), format!(" {own}"), format!("{own:#x}"), format!("0{own:o}")] {
            assert_eq!(variables(&ours, None).are_ours(), Ok(true), "{ours}");
        }
        assert_eq!(variables("1", None).are_ours(), Ok(false));
        for bad in ["junk", "", "0", "3000000000", "09"] {
            assert_eq!(variables(bad, None).are_ours(), Err(ListenFdsError::BadPid(bad.to_owned())));
        }
    }

    #[test]
    fn a_foreign_pidfd_is_not_us() {
        let own = own_pidfd_id().expect("pidfs is missing: a kernel from 6.9 on");
        let pid = std::process::id().to_string();
        let of = |id: &str| variables(&pid, Some(id)).are_ours();
        assert_eq!(of(&own.to_string()), Ok(true));
        assert_eq!(of(&(own ^ 1).to_string()), Ok(false));
        for bad in ["junk", ""] {
            assert_eq!(of(bad), Err(ListenFdsError::BadPidfdId(bad.to_owned())));
        }
    }

    #[test]
    fn whether_the_pidfd_is_ours_is_asked_only_of_what_names_our_pid() {
        assert_eq!(variables("1", Some("junk")).are_ours(), Ok(false));
    }

    fn variables(pid: &str, pidfd_id: Option<&str>) -> Variables {
        Variables { pid: Some(pid.into()), pidfd_id: pidfd_id.map(OsString::from), fds: None, names: None }
    }
}
