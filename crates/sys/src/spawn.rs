//! Starting a program inside a control group, without ever naming a process by its number (`CLONE_INTO_CGROUP`, clone(2)).

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

/// Why a program was not started.
#[derive(Debug)]
pub enum SpawnError {
    /// The process could not be created in the group. Without the group it may succeed.
    Group(io::Error),
    /// The program could not be executed.
    Program(io::Error),
}

/// The arguments of clone3(2), in the size that knows a control group.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `CLONE_INTO_CGROUP` of linux/sched.h.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// Starts a program whose process is a member of the control group from its first instruction. `group` is the directory of
/// the group. The caller reaps the process.
///
/// # Errors
/// [`SpawnError::Group`] before Linux 5.7, without the permission to add a process to the group, and in a process with
/// several threads.
pub fn spawn_into(command: &mut Command, group: BorrowedFd<'_>) -> Result<Pid, SpawnError> {
    // A process with other threads could be copied while one of them holds a lock, for example that of the allocator.
    if fs::read_dir("/proc/self/task").map_err(SpawnError::Group)?.count() != 1 {
        return Err(SpawnError::Group(io::ErrorKind::Unsupported.into()));
    }
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| SpawnError::Group(error.into()))?;
    let args = CloneArgs {
        flags: INTO_CGROUP,
        exit_signal: u64::from(libc::SIGCHLD.unsigned_abs()),
        cgroup: u64::from(group.as_raw_fd().unsigned_abs()),
        ..CloneArgs::default()
    };
    // SAFETY: the arguments are valid and live until the call returns. Without a stack and without CLONE_VM the child is a
    // copy of this process, as after fork(2). The process has this one thread, so the copy is complete: no lock is held,
    // and the child may allocate. The child executes a program or ends; it never returns from this function.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    if result == 0 {
        drop(read);
        execute(command, write);
    }
    let child = i32::try_from(result).ok().and_then(Pid::from_raw);
    let Some(child) = child else { return Err(SpawnError::Group(io::Error::last_os_error())) };
    drop(write);
    let mut errno = [0; 4];
    match fs::File::from(read).read_exact(&mut errno) {
        Ok(()) => {
            let _ = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty());
            Err(SpawnError::Program(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))))
        }
        // The pipe was closed by the execution of the program, or by the end of the child.
        Err(_) => Ok(child),
    }
}

/// Executes the program in the child; reports an error and ends.
fn execute(command: &mut Command, report: OwnedFd) -> ! {
    let error = command.exec();
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    let _ = fs::File::from(report).write_all(&errno.to_ne_bytes());
    // SAFETY: the call ends the process, without the exit handlers of the process that it is a copy of.
    unsafe { libc::_exit(127) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_process_with_several_threads_is_refused() {
        // The test runs in a thread beside the main thread.
        let directory = fs::File::open("/").unwrap();
        match spawn_into(&mut Command::new("true"), directory.as_fd()) {
            Err(SpawnError::Group(error)) => assert_eq!(error.kind(), io::ErrorKind::Unsupported),
            other => panic!("{other:?}"),
        }
    }
}
