//! Whose credentials come with the bytes to a UNIX socket (`SCM_CREDENTIALS`, unix(7)).

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use dormouse_sys::credentials::Credentials;
use dormouse_sys::message::send;

/// The credentials that a UNIX socket's peer gets with the bytes, if it asks for them (`SO_PASSCRED`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MessageCredentials {
    /// Those of this process, which the kernel adds.
    #[default]
    Own,
    /// Those of nobody, so that the sender's bytes do not count as words of this process.
    Withheld,
    /// Those of the sender.
    Passed,
}

impl MessageCredentials {
    /// Returns `Withheld` if this process may send other credentials than its own, otherwise `Own`: such a process has no
    /// more rights in its name than any other of its user.
    pub fn withheld_if_possible() -> Self {
        static POSSIBLE: OnceLock<bool> = OnceLock::new();
        let possible = POSSIBLE.get_or_init(|| {
            UnixStream::pair().is_ok_and(|(near, _far)| send(near.as_fd(), b"x", &[], Some(NOBODY)).is_ok())
        });
        if *possible { Self::Withheld } else { Self::Own }
    }
}

/// The user and the group that stand for unknown ones (the kernel's default of `kernel.overflowuid`).
pub(crate) const NOBODY: Credentials = Credentials { uid: 65_534, gid: 65_534, pid: None };
