//! The capabilities of this process (capabilities(7)).

use std::io;
use std::sync::OnceLock;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// The numbers of capabilities that the kernel's interface has room for.
const CAPABILITIES: u32 = 64;

/// What [`keep`] found. A process that was started before still has them.
static BEFORE: OnceLock<CapabilitySet> = OnceLock::new();

/// Returns the effective capabilities of this thread before it gave some up.
pub fn before() -> CapabilitySet {
    BEFORE.get().copied().unwrap_or_else(effective)
}

/// Returns the effective capabilities of this thread.
pub fn effective() -> CapabilitySet {
    capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective)
}

/// Gives up all capabilities of this thread, and of the threads that it starts, but these. None comes back.
///
/// # Errors
/// When a filter of system calls forbids it.
pub fn keep(needed: CapabilitySet) -> io::Result<()> {
    BEFORE.get_or_init(effective);
    // This needs CAP_SETPCAP, which is given up with the others. Without it no program is executed with more anyway.
    drop_from_bounding_set(needed);
    keep_in_thread(needed)
}

fn keep_in_thread(needed: CapabilitySet) -> io::Result<()> {
    let CapabilitySets { effective, permitted, .. } = capabilities(None)?;
    let kept = CapabilitySets {
        effective: effective & needed,
        permitted: permitted & needed,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, kept)?)
}

/// Removes all capabilities but these from the bounding set, as far as this thread may. It may not without `CAP_SETPCAP`.
pub fn drop_from_bounding_set(keep: CapabilitySet) {
    for capability in bounding_set().difference(keep) {
        let _ = remove_capability_from_bounding_set(capability);
    }
}

/// Returns the capabilities that a program can get at most.
pub fn bounding_set() -> CapabilitySet {
    let all = (0..CAPABILITIES).map(|number| CapabilitySet::from_bits_retain(1 << number));
    // The kernel knows no capability after the first error.
    all.map_while(|capability| Some((capability, capability_is_in_bounding_set(capability).ok()?)))
        .filter_map(|(capability, is_in)| is_in.then_some(capability))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no capabilities")]
    fn a_thread_keeps_what_it_needs_and_gets_nothing_back() {
        let had = effective();
        let needed = CapabilitySet::NET_BIND_SERVICE | CapabilitySet::DAC_OVERRIDE;
        let thread = std::thread::spawn(move || {
            drop_from_bounding_set(needed);
            let bound = bounding_set();
            keep_in_thread(needed).unwrap();
            let kept = effective();
            keep_in_thread(CapabilitySet::all()).unwrap();
            (bound, kept, effective())
        });
        let (bound, kept, later) = thread.join().unwrap();
        assert_eq!((kept, later), (had & needed, had & needed));
        assert!(needed.contains(bound) || !had.contains(CapabilitySet::SETPCAP), "{bound:?}");
        // Other threads are not changed.
        assert_eq!(effective(), had);
    }
}
