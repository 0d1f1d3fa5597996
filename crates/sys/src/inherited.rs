//! What this process inherited from its parent and must not act on: descriptors that it does not know, and an ignored
//! SIGCHLD.

use std::fs;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::{FdFlags, fcntl_setfd};

/// The first descriptor after standard input, output and error.
const FIRST: RawFd = 3;

/// Makes each open descriptor except the standard ones close-on-exec, so that no program that this process executes gets
/// it. Descriptors that this process opens are close-on-exec already.
pub fn close_on_exec() {
    // SAFETY: the call changes a flag of descriptors. It reads and writes no memory of this process.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result != 0 {
        // The kernel is older than Linux 5.11, or a filter of system calls does not know the call.
        one_by_one();
    }
}

/// Makes ended children wait until this process reaps them, so that no other process gets the number of one before. A
/// parent that ignores SIGCHLD passes on that the kernel reaps them at once.
pub fn keep_ended_children() {
    // SAFETY: the default action of a signal is always valid, and this one does nothing when the signal arrives.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Does the same without close_range(2).
#[doc(hidden)]
pub fn one_by_one() {
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<RawFd> =
        open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd >= FIRST) {
        // SAFETY: the descriptor is not -1, and is used only for this call. The call fails if the descriptor is closed
        // meanwhile, as that of the directory is. Close-on-exec does no harm to one that another thread has opened.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let _ = fcntl_setfd(fd, FdFlags::CLOEXEC);
    }
}
