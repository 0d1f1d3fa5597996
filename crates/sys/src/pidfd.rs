//! Process file descriptors (`pidfd_open(2)`): what a number of a process cannot tell.

use std::os::fd::{AsFd, AsRawFd};

/// Returns whether the process of a pidfd still has its number: it runs, or it has ended and nobody has reaped it. As long
/// as it has, the number means this process and no other.
pub fn exists(pidfd: impl AsFd) -> bool {
    // SAFETY: signal 0 sends nothing, and the kernel accepts a null pointer as `info`. The descriptor is open.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            0,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    // Without the permission to signal a process the kernel has found it all the same.
    result == 0 || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};
    use std::process::Command;

    #[test]
    #[cfg_attr(miri, ignore = "Miri starts no processes")]
    fn a_process_exists_until_it_is_reaped() {
        assert!(exists(pidfd_open(getpid(), PidfdFlags::empty()).unwrap()));
        let mut child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        let held = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        // It may have ended already, but nobody has reaped it.
        assert!(exists(&held));
        child.wait().unwrap();
        assert!(!exists(&held));
    }
}
