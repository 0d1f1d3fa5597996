//! Namespaces of a process of its own (namespaces(7)).

use std::io;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Gives this process mounts of its own, which begin as copies. Requires `CAP_SYS_ADMIN`.
///
/// # Errors
/// When the kernel or a filter of system calls refuses.
pub fn own_mounts() -> io::Result<()> {
    leave(UnshareFlags::NEWNS)
}

/// Gives this process users and mounts of its own. It has all capabilities there, and its user has no number until the
/// process writes its map (`user_namespaces(7)`). The process must have one thread.
///
/// # Errors
/// When the kernel or a filter of system calls refuses.
pub fn own_users_and_mounts() -> io::Result<()> {
    leave(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)
}

/// Gives this process System V IPC objects and POSIX message queues of its own, of which there are none yet. The kernel
/// removes them with the last process that has them (`ipc_namespaces(7)`). Requires `CAP_SYS_ADMIN`, also that of a user
/// namespace of its own.
///
/// # Errors
/// When the kernel or a filter of system calls refuses.
pub fn own_ipc() -> io::Result<()> {
    leave(UnshareFlags::NEWIPC)
}

fn leave(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: the flags contain neither FILES nor VM: all descriptors and all memory stay as they are.
    unsafe { unshare_unsafe(flags) }.map_err(io::Error::from)
}
