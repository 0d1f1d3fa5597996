//! The session keyring of a process (`session-keyring(7)`): keys that its parent keeps for itself and its children.

use std::io;

/// The operation that creates a session keyring (`keyctl_join_session_keyring(3)`).
const JOIN_SESSION_KEYRING: libc::c_long = 1;

/// Gives this thread a new, empty session keyring in place of the inherited one; in a process with one thread, the process.
///
/// # Errors
/// When the kernel has no keyrings, or a filter of system calls refuses.
pub fn own_session() -> io::Result<()> {
    let no_name: *const libc::c_char = std::ptr::null();
    // SAFETY: without a name the call reads no memory of this process, and it writes none.
    let joined = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, no_name) };
    if joined < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of the session keyring (`KEYCTL_GET_KEYRING_ID`, `KEY_SPEC_SESSION_KEYRING`).
    fn session() -> libc::c_long {
        const GET_KEYRING_ID: libc::c_long = 0;
        const SESSION_KEYRING: libc::c_long = -3;
        // SAFETY: the call takes numbers alone.
        unsafe { libc::syscall(libc::SYS_keyctl, GET_KEYRING_ID, SESSION_KEYRING, 0 as libc::c_long) }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no keyrings")]
    fn a_thread_gets_another_session_keyring() {
        let (before, joined, after) =
            std::thread::spawn(|| (session(), own_session(), session())).join().unwrap();
        match joined {
            Ok(()) => assert_ne!(before, after),
            // Containers often forbid keyrings.
            Err(error) => {
                assert!(matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)), "{error}");
            }
        }
    }
}
