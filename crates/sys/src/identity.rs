//! The user and the groups that a program runs as.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// The user and the groups of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user ID: real, effective and saved.
    pub uid: u32,
    /// The group ID: real, effective and saved.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
}

impl Identity {
    /// Makes the process of a command take this identity before it executes the program. The start fails with EPERM if this
    /// process may not do so.
    ///
    /// Without privileges an identity that this process has already is no change, whatever the supplementary groups.
    pub fn apply_to(&self, command: &mut Command) {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        if !geteuid().is_root() && (geteuid(), getegid()) == (uid, gid) {
            return;
        }
        let groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        let take = move || {
            // The order matters: without its user ID the process may no longer change its groups.
            set_thread_groups(&groups)?;
            set_thread_res_gid(gid, gid, gid)?;
            set_thread_res_uid(uid, uid, uid).map_err(io::Error::from)
        };
        // SAFETY: between fork and exec the closure makes three system calls, with numbers and a list that it owns. It
        // takes no lock, allocates nothing and cannot panic. The process has one thread then, so the identity of the
        // thread is that of the process.
        unsafe { command.pre_exec(take) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_runs_as_the_user() {
        let identity = Identity { uid: 64_321, gid: 64_322, groups: vec![64_323, 64_324] };
        let mut command = Command::new("sh");
        command.args(["-c", "cat /proc/self/status"]);
        identity.apply_to(&mut command);
        let output = match command.output() {
            Ok(output) => output,
            // Another user than root may not, which the user must learn.
            Err(error) if !geteuid().is_root() => {
                assert_eq!(error.raw_os_error(), Some(libc::EPERM));
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
    fn the_own_identity_needs_no_privileges() {
        let identity = Identity { uid: geteuid().as_raw(), gid: getegid().as_raw(), groups: Vec::new() };
        let mut command = Command::new("true");
        identity.apply_to(&mut command);
        assert!(command.status().unwrap().success());
    }
}
