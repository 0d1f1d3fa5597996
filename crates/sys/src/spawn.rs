//! Starting a program whose process first prepares itself: it joins a control group, or gives up rights. No process is
//! named by its number.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Makes the process of a command join a control group before it executes the program. `members` is the file
/// `cgroup.procs` of the group, open for writing (cgroups(7)). Where the kernel refuses, the program starts outside.
pub fn join_group(command: &mut Command, members: OwnedFd) {
    let join = move || {
        // 0 is the process that writes. The caller looks whether the group has members.
        let _ = rustix::io::write(&members, b"0");
        Ok(())
    };
    // SAFETY: the closure makes one system call, write(2), which is async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(join) };
}

/// Starts a command whose process calls `prepare` before it executes the program, and after everything else that the
/// command asks for. An error of `prepare` is that of the start.
///
/// # Errors
/// When this process has several threads, and when the program cannot be started.
pub fn spawn_prepared(
    mut command: Command,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<Child> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a process with several threads cannot prepare another"));
    }
    // SAFETY: this process has one thread, and only this thread could create another. It creates none before the fork in
    // this function. So no other thread holds a lock or has changed memory halfway at the fork, and the new process may
    // do everything that this one may. The command, which owns the closure, is not used again.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    #[cfg_attr(miri, ignore = "Miri starts no processes")]
    fn the_new_process_writes_its_own_number_as_0() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let mut command = Command::new("true");
        join_group(&mut command, write);
        assert!(command.status().unwrap().success());
        drop(command);
        let mut written = String::new();
        fs::File::from(read).read_to_string(&mut written).unwrap();
        assert_eq!(written, "0");
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri starts no processes")]
    fn a_refused_join_does_not_prevent_the_start() {
        let (read, _write) = rustix::pipe::pipe().unwrap();
        let mut command = Command::new("true");
        join_group(&mut command, read);
        assert!(command.status().unwrap().success());
    }
}
