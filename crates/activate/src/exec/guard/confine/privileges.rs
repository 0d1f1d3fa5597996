//! The privileges that a confined program does not have, and cannot gain.

use std::fs;
use std::io;

use dormouse_sys::capabilities::{bounding_set, drop_from_bounding_set};
use rustix::process::{DumpableBehavior, getegid, geteuid, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets, no_new_privs, set_capabilities, set_no_new_privs};

use super::Refusal;

/// Removes all capabilities from the bounding set, as far as this process may. It may not without `CAP_SETPCAP`.
pub(super) fn drop_bounding_set() {
    drop_from_bounding_set(CapabilitySet::empty());
}

/// Gives up all capabilities. Where a filter of system calls forbids that, the execution of the program does it.
pub(super) fn drop_all() {
    let none = CapabilitySet::empty();
    let _ = set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none });
}

/// Makes sure that no program gives this process more rights than it has (prctl(2), `PR_SET_NO_NEW_PRIVS`).
pub(super) fn forbid_new() -> Result<(), Refusal> {
    match set_no_new_privs(true).and_then(|()| no_new_privs()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Refusal::Hole("no_new_privs has no effect".to_owned())),
        Err(error) => Err(Refusal::Hole(format!("no_new_privs: {error}"))),
    }
}

/// Makes sure that the program will have no capabilities. One that runs as root gets those of the bounding set.
pub(super) fn are_gone() -> Result<(), Refusal> {
    if geteuid().is_root() && !bounding_set().is_empty() {
        let reason = "root keeps capabilities, because dormouse lacks CAP_SETPCAP; name another user";
        return Err(Refusal::Hole(reason.to_owned()));
    }
    Ok(())
}

/// Gives the files of this process in /proc to its user, who may have changed. The execution of the program decides that
/// anew.
pub(super) fn own_process_files() {
    let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
}

/// The user and the group of this process.
pub(super) struct Ids {
    uid: u32,
    gid: u32,
}

impl Ids {
    pub(super) fn current() -> Self {
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }

    /// Gives these ids to the new user namespace of this process, with the numbers that they have outside. There are no
    /// others in it.
    pub(super) fn map(&self) -> io::Result<()> {
        let Self { uid, gid } = self;
        fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
        // Without this the kernel does not accept a map of groups from a process without rights outside.
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
    }
}
