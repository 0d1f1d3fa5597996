//! The main process of a container, watched without the engine.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;

use dormouse_sys::event_loop::register;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The main process of a container.
#[derive(Debug)]
pub(super) struct Process {
    /// A pidfd, which becomes readable when the process has ended.
    fd: AsyncFd<OwnedFd>,
}

impl Process {
    /// Opens the process `pid` if it certainly belongs to the container `id`.
    ///
    /// The number alone proves nothing: it may have been reused, and an engine in another PID namespace uses other
    /// numbers. But the engines name a container's cgroup after its ID.
    pub(super) fn open(pid: u32, id: &str) -> Option<Self> {
        let number = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let fd = pidfd_open(number, PidfdFlags::NONBLOCK).ok()?;
        if id.len() < 12 || !cgroups(pid).ok()?.contains(id) {
            return None;
        }
        let fd = register(fd, Interest::READABLE).ok()?;
        Some(Self { fd })
    }

    /// Waits for the end of the process.
    pub(super) async fn ended(&self) {
        // The readiness is not cleared, because an ended process stays ended.
        let _ = self.fd.readable().await;
    }
}

fn cgroups(pid: u32) -> io::Result<String> {
    let mut text = String::new();
    File::open(format!("/proc/{pid}/cgroup"))?.take(1 << 16).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_of_no_container_is_rejected() {
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        assert!(Process::open(std::process::id(), id).is_none());
        assert!(Process::open(std::process::id(), "").is_none());
        assert!(Process::open(0, id).is_none());
        assert!(Process::open(u32::MAX, id).is_none());
    }
}
