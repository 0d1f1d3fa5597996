//! The system calls that this program makes only with certain arguments.

use std::collections::BTreeMap;

use dormouse_sys::seccomp::{BackendError, Comparison, Operator, Rule, rule as one};
use libc::{c_int, c_long};

/// The flags of clone(2) for namespaces of the new process.
const NAMESPACES: [c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];
/// The families of the sockets that this program and the C library open.
const FAMILIES: [c_int; 5] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_VSOCK];
/// The bits of a mode that let a program run as the owner or the group of its file.
const SET_ID: [libc::mode_t; 2] = [libc::S_ISUID, libc::S_ISGID];
/// Type into a terminal (`ioctl_tty(2)`, `ioctl_console(2)`), and change the attributes of a file (`ioctl_iflags(2)`).
const IOCTLS: [u32; 4] = [0x5412, 0x541c, 0x4008_6602, 0x401c_5820];

/// Returns the calls that are refused if their arguments match one of the rules.
pub(super) fn rules() -> Result<BTreeMap<c_long, Vec<Rule>>, BackendError> {
    let mut rules = BTreeMap::from([
        (libc::SYS_clone, clone()?),
        // A umask of its own, for a new socket.
        (libc::SYS_unshare, vec![one([(0, Operator::Ne, libc::CLONE_FS.unsigned_abs())])?]),
        (libc::SYS_openat, open(2)?),
        (libc::SYS_prlimit64, vec![one([(0, Operator::Ne, 0)])?]),
        (
            libc::SYS_ioctl,
            IOCTLS.into_iter().map(|call| one([(1, Operator::Eq, call)])).collect::<Result<_, _>>()?,
        ),
        (libc::SYS_socket, vec![one(FAMILIES.map(|family| (0, Operator::Ne, family.unsigned_abs())))?]),
    ]);
    #[cfg(target_arch = "x86_64")]
    rules.extend([(libc::SYS_open, open(1)?), (libc::SYS_creat, set_id(1, None)?)]);
    Ok(rules)
}

/// No processes, and no namespaces: threads only.
fn clone() -> Result<Vec<Rule>, BackendError> {
    let thread = libc::CLONE_THREAD.unsigned_abs();
    let no_thread = one([(0, Operator::MaskedEq(thread.into()), 0)]);
    let namespaces = NAMESPACES.map(|flag| one([has(0, flag.unsigned_abs())]));
    std::iter::once(no_thread).chain(namespaces).collect()
}

/// No new files that run as their owner. `flags` is the number of the argument with the flags; the mode comes next, and only
/// counts for a new file.
fn open(flags: u8) -> Result<Vec<Rule>, BackendError> {
    let new = [libc::O_CREAT, libc::O_TMPFILE & !libc::O_DIRECTORY].map(c_int::unsigned_abs);
    let rules = new.map(|new| set_id(flags + 1, Some((flags, new))));
    Ok(rules.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
}

/// Refuses the bits in the mode of this argument, if another argument has a flag.
fn set_id(mode: u8, flag: Option<(u8, u32)>) -> Result<Vec<Rule>, BackendError> {
    let flag = || flag.into_iter().map(|(argument, flag)| has(argument, flag));
    SET_ID.into_iter().map(|bit| one(flag().chain([has(mode, bit)]))).collect()
}

fn has(argument: u8, flag: u32) -> Comparison {
    (argument, Operator::MaskedEq(flag.into()), flag)
}
