//! The user and the groups that a program runs as.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::thread::{
    CapabilitySet, capabilities, clear_ambient_capability_set, set_capabilities, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use crate::capabilities::before;

/// The user and the groups of a process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The user ID: real, effective and saved.
    pub uid: u32,
    /// The group ID: real, effective and saved.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
}

/// The capabilities with which a process starts programs of other users and ends them, with their names.
const OF_OTHER_USERS: [(CapabilitySet, &str); 3] = [
    (CapabilitySet::SETUID, "CAP_SETUID"),
    (CapabilitySet::SETGID, "CAP_SETGID"),
    (CapabilitySet::KILL, "CAP_KILL"),
];

/// Makes the process of a command give up the capabilities that would survive the execution of the program: the ambient
/// and the inheritable ones (capabilities(7)). Those of root follow from its user ID and are not changed.
pub fn drop_inherited_capabilities(command: &mut Command) {
    let drop = || {
        match clear_ambient_capability_set() {
            // Before Linux 4.3 there are none.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
        // A filter of system calls may forbid it. Few files make use of what remains then.
        if let Ok(mut sets) = capabilities(None) {
            sets.inheritable = CapabilitySet::empty();
            let _ = set_capabilities(None, sets);
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes three system calls with values of its own. It takes no lock,
    // allocates nothing and cannot panic.
    unsafe { command.pre_exec(drop) };
}

impl Identity {
    /// Returns the names of the capabilities that this process lacks to start programs with this identity, and to end them
    /// afterwards (`kill(2)`). Root may lack some of them, too. What it has given up counts, because a process that was
    /// started before does it then.
    pub fn lacks(&self) -> Vec<&'static str> {
        if self.is_own_without_privileges() {
            return Vec::new();
        }
        let of_user = if self.uid == geteuid().as_raw() {
            CapabilitySet::empty()
        } else {
            CapabilitySet::SETUID | CapabilitySet::KILL
        };
        let needed = of_user | CapabilitySet::SETGID;
        let missing = needed.difference(before());
        let named = OF_OTHER_USERS.into_iter().filter(|(capability, _)| missing.contains(*capability));
        named.map(|(_, name)| name).collect()
    }

    /// Returns whether this process without privileges has the identity already, whatever its supplementary groups.
    fn is_own_without_privileges(&self) -> bool {
        !geteuid().is_root() && (geteuid().as_raw(), getegid().as_raw()) == (self.uid, self.gid)
    }

    /// Makes the process of a command take this identity before it executes the program. The start fails with EPERM if this
    /// process may not do so.
    ///
    /// Without privileges an identity that this process has already is no change, whatever the supplementary groups.
    pub fn apply_to(&self, command: &mut Command) {
        if self.is_own_without_privileges() {
            return;
        }
        let groups = self.group_ids();
        let (uid, gid) = (self.uid, self.gid);
        // SAFETY: between fork and exec the closure makes three system calls, with numbers and a list that it owns. It
        // takes no lock, allocates nothing and cannot panic. The process has one thread then, so the identity of the
        // thread is that of the process.
        unsafe { command.pre_exec(move || take(uid, gid, &groups)) };
    }

    /// Gives this thread this identity; in a process with one thread, the process. An identity that it has already is no
    /// change, as in [`Self::apply_to`].
    ///
    /// # Errors
    /// EPERM if this process may not do so.
    pub fn take(&self) -> io::Result<()> {
        if self.is_own_without_privileges() { Ok(()) } else { take(self.uid, self.gid, &self.group_ids()) }
    }

    fn group_ids(&self) -> Vec<Gid> {
        self.groups.iter().map(|group| Gid::from_raw(*group)).collect()
    }
}

fn take(uid: u32, gid: u32, groups: &[Gid]) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    // The order matters: without its user ID the process may no longer change its groups.
    set_thread_groups(groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid).map_err(io::Error::from)
}

/// Returns whether this process is to start programs as other users, and signal them: it is root, or has the three
/// capabilities for it, or had them before it gave them up. What root lacks, [`Identity::lacks`] shows.
pub fn may_become_others() -> bool {
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::KILL;
    geteuid().is_root() || before().contains(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri starts no processes")]
    fn a_command_runs_as_the_user() {
        let identity = Identity { uid: 64_321, gid: 64_322, groups: vec![64_323, 64_324] };
        let mut command = Command::new("sh");
        command.args(["-c", "cat /proc/self/status"]);
        identity.apply_to(&mut command);
        let output = match command.output() {
            Ok(output) => {
                assert!(identity.lacks().iter().all(|name| *name == "CAP_KILL"));
                output
            }
            // Another user than root may not, which the user must learn.
            Err(error) if !geteuid().is_root() => {
                assert_eq!(error.raw_os_error(), Some(libc::EPERM));
                assert!(identity.lacks().contains(&"CAP_SETUID"));
                return;
            }
            Err(error) => panic!("{error}"),
        };
        let status = String::from_utf8(output.stdout).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<u32>>()
        };
        assert_eq!(field("Uid:"), [64_321; 4]);
        assert_eq!(field("Gid:"), [64_322; 4]);
        assert_eq!(field("Groups:"), [64_323, 64_324]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri starts no processes")]
    fn a_program_inherits_no_capabilities() {
        let status = |drop: bool| {
            let mut command = Command::new("sh");
            command.args(["-c", "grep -E 'Cap(Inh|Amb)' /proc/self/status"]);
            if drop {
                drop_inherited_capabilities(&mut command);
            }
            String::from_utf8(command.output().unwrap().stdout).unwrap()
        };
        let none = "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n";
        assert_eq!(status(true), none);
        if !geteuid().is_root() {
            return;
        }
        // With an ambient capability of this thread the test can fail.
        let before = capabilities(None).unwrap();
        let mut sets = before;
        sets.inheritable = CapabilitySet::KILL;
        set_capabilities(None, sets).unwrap();
        rustix::thread::configure_capability_in_ambient_set(CapabilitySet::KILL, true).unwrap();
        assert_ne!(status(false), none);
        assert_eq!(status(true), none);
        clear_ambient_capability_set().unwrap();
        set_capabilities(None, before).unwrap();
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no capabilities")]
    fn a_thread_takes_an_identity_and_loses_the_right_to_another() {
        let root = geteuid().is_root();
        assert!(may_become_others() || !root);
        let thread = std::thread::spawn(move || {
            let identity = Identity { uid: 64_321, gid: 64_322, groups: vec![64_323] };
            let taken = identity.take();
            assert_eq!(taken.is_ok(), root, "{taken:?}");
            (geteuid().as_raw(), may_become_others())
        });
        let (uid, others) = thread.join().unwrap();
        assert!(!root || (uid, others) == (64_321, false));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no capabilities")]
    fn root_learns_which_capability_it_lacks() {
        if !geteuid().is_root() {
            return;
        }
        let other = Identity { uid: 64_321, gid: 64_322, groups: Vec::new() };
        let root = Identity { uid: 0, gid: 64_322, groups: Vec::new() };
        let lacks = |dropped: CapabilitySet| {
            let (other, root) = (other.clone(), root.clone());
            let thread = std::thread::spawn(move || {
                let mut sets = capabilities(None).unwrap();
                sets.effective = sets.effective.difference(dropped);
                set_capabilities(None, sets).unwrap();
                [other.lacks(), root.lacks()]
            });
            thread.join().unwrap()
        };
        let none = Vec::<&str>::new;
        assert_eq!(lacks(CapabilitySet::empty()), [none(), none()]);
        assert_eq!(lacks(CapabilitySet::KILL), [vec!["CAP_KILL"], none()]);
        assert_eq!(
            lacks(CapabilitySet::SETUID | CapabilitySet::SETGID),
            [vec!["CAP_SETUID", "CAP_SETGID"], vec!["CAP_SETGID"]]
        );
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri starts no processes")]
    fn the_own_identity_needs_no_privileges() {
        let identity = Identity { uid: geteuid().as_raw(), gid: getegid().as_raw(), groups: Vec::new() };
        let mut command = Command::new("true");
        identity.apply_to(&mut command);
        assert!(command.status().unwrap().success());
    }
}
