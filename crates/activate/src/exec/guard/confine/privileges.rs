//! The privileges that a confined program does not have, and cannot gain.

use std::fs;
use std::io;

use rustix::process::{DumpableBehavior, getegid, geteuid, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, no_new_privs,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::Refusal;

/// The numbers of capabilities that the kernel's interface has room for.
const CAPABILITIES: u32 = 64;

/// Removes all capabilities from the bounding set, as far as this process may. It may not without `CAP_SETPCAP`.
pub(super) fn drop_bounding_set() {
    for capability in in_bounding_set() {
        let _ = remove_capability_from_bounding_set(capability);
    }
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
    if geteuid().is_root() && in_bounding_set().next().is_some() {
        let reason = "root keeps capabilities, because dormouse lacks CAP_SETPCAP; name another user";
        return Err(Refusal::Hole(reason.to_owned()));
    }
    Ok(())
}

fn in_bounding_set() -> impl Iterator<Item = CapabilitySet> {
    let all = (0..CAPABILITIES).map(|number| CapabilitySet::from_bits_retain(1 << number));
    // The kernel knows no capability after the first error.
    all.map_while(|capability| Some((capability, capability_is_in_bounding_set(capability).ok()?)))
        .filter_map(|(capability, is_in)| is_in.then_some(capability))
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
