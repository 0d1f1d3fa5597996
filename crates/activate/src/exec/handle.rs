//! The side of dormouse of a guard process.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use dormouse_sys::blocking;
use rustix::process::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::launch::GuardLaunch;
use super::protocol::{GuardEvent, GuardRequest};
use super::sweep::Sweep;
use crate::spawner::{Descriptors, Process, Question as _, ask, start_program};

/// The longest event that a guard sends, in bytes.
const MAX_EVENT: usize = 4096;
/// The time that a guard may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// A guard process and the connection to it.
#[derive(Debug)]
pub(super) struct GuardHandle {
    child: Process,
    socket: UnixStream,
    received: Vec<u8>,
    /// The identifier of this run, unique among all processes.
    run_id: String,
}

impl GuardHandle {
    /// Starts a guard, which starts the program immediately.
    ///
    /// # Errors
    /// When the guard cannot be started.
    pub(super) async fn start(launch: GuardLaunch, output: OwnedFd) -> io::Result<Self> {
        let (local, remote) = std::os::unix::net::UnixStream::pair()?;
        local.set_nonblocking(true)?;
        let socket = UnixStream::from_std(local)?;
        let child = start_program(&launch, Descriptors { output, input: Some(remote.into()) }).await?;
        Ok(Self { child, socket, received: Vec::new(), run_id: launch.run_id().to_owned() })
    }

    /// Returns the number of the guard, which nobody else gets as long as this value lives.
    pub(super) fn pid(&self) -> Option<Pid> {
        self.child.id()
    }

    /// Sends a request. A guard that is gone is noticed by [`Self::receive`].
    pub(super) async fn send(&mut self, request: GuardRequest) {
        let _ = self.socket.write_all(&[request.to_byte()]).await;
    }

    /// Receives the next event; `None` when the guard has ended. Cancel safe.
    pub(super) async fn receive(&mut self) -> Option<GuardEvent> {
        loop {
            while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                let line = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
                if let Some(event) = GuardEvent::parse(&line) {
                    return Some(event);
                }
            }
            if self.received.len() >= MAX_EVENT {
                return None;
            }
            match self.socket.read_buf(&mut self.received).await {
                Ok(1..) => {}
                _ => return None,
            }
        }
    }

    /// Kills the remaining processes of a guard that did not end in good order.
    pub(super) async fn kill_remaining(&self) {
        // The guard is not reaped yet, so no other process, session and control group has its number.
        let sweep = Sweep::new(self.pid(), &self.run_id);
        if ask(sweep.clone()).await.is_err() {
            // There is no spawner any more, or no thread. What this process may see is better than nothing.
            let _ = blocking::spawn(Sweep::KIND, move || sweep.answer()).result().await;
        }
    }

    /// Reaps a guard that has ended or will end soon.
    pub(super) async fn wait(mut self) {
        if timeout(KILL_TIMEOUT, self.child.wait()).await.is_err() {
            self.child.kill();
            // A process that SIGKILL does not end hangs in the kernel.
            let _ = timeout(KILL_TIMEOUT, self.child.wait()).await;
        }
    }
}
