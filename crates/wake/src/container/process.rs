//! A container's own process, watched without its engine.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;

use dormouse_sys::event_loop::register;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Becomes readable when the process has ended.
#[derive(Debug)]
pub(super) struct Process {
    fd: AsyncFd<OwnedFd>,
}

impl Process {
    /// The process `pid` if it is that of the container `id` beyond doubt. The number alone says little: it may have
    /// been reused, and an engine in another namespace counts otherwise. But the engines name a container's cgroup
    /// after it.
    pub(super) fn of(pid: u32, id: &str) -> Option<Self> {
        let number = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let fd = pidfd_open(number, PidfdFlags::NONBLOCK).ok()?;
        if id.len() < 12 || !cgroups(pid).ok()?.contains(id) {
            return None;
        }
        let fd = register(fd, Interest::READABLE).ok()?;
        Some(Self { fd })
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) {
        // The readiness is kept: the end of a process is for good.
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
    async fn a_process_of_somebody_else_is_not_taken() {
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        assert!(Process::of(std::process::id(), id).is_none());
        assert!(Process::of(std::process::id(), "").is_none());
        assert!(Process::of(0, id).is_none());
        assert!(Process::of(u32::MAX, id).is_none());
    }
}
