//! The one spawner of this process.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use dormouse_sys::event_loop::register;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use serde::Serialize;
use tokio::io::Interest;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::reports::{Reports, gone};
use super::wire::send;
use crate::process::{LastingChild, Termination, base_environment};

/// The name of the internal command that runs a spawner.
pub const COMMAND: &str = "spawner";
/// The largest number of requests without a report. The queue of the socket has space for that many.
const MAX_REQUESTS: usize = 64;

/// The spawner of this process.
static SPAWNER: OnceLock<Spawner> = OnceLock::new();
static REQUESTS: Semaphore = Semaphore::const_new(MAX_REQUESTS);

/// A spawner.
#[derive(Debug)]
pub(super) struct Spawner {
    socket: OwnedFd,
    /// It ends when the socket is closed, which is with this process.
    child: Mutex<LastingChild>,
}

/// Starts the spawner of this process, which may do only this. What is started later comes from it. The first call counts.
///
/// # Errors
/// When it cannot be started.
pub fn start(grant: &impl Serialize) -> io::Result<()> {
    let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let mut command = Command::new("/proc/self/exe");
    // A terminal's interrupt, and a signal to the group of dormouse, do not end it.
    command.arg0("dormouse").arg(COMMAND).process_group(0);
    // It passes these variables on, and no others.
    command.env_clear().envs(base_environment()).stdin(Stdio::from(far));
    let child = LastingChild::start(&mut command)?;
    send(near.as_fd(), grant, &[])?;
    let _ = SPAWNER.set(Spawner { socket: near, child: Mutex::new(child) });
    Ok(())
}

/// Waits for the end of the spawner, and returns how it ended. Waits forever if there is none.
pub async fn ended() -> String {
    let Some(spawner) = SPAWNER.get() else { return std::future::pending().await };
    // It writes nothing there, so only its end makes the socket readable.
    match spawner.socket.try_clone().and_then(|socket| register(socket, Interest::READABLE)) {
        Ok(socket) => {
            let _ = socket.readable().await;
        }
        // Without a descriptor to watch, its end is noticed at the next start.
        Err(_) => std::future::pending().await,
    }
    let mut child = spawner.child.lock().unwrap_or_else(PoisonError::into_inner);
    // Its sockets are closed, so it ends now.
    child.wait().map_or_else(|error| error.to_string(), |status| Termination::from(status).to_string())
}

pub(super) fn spawner() -> Option<&'static Spawner> {
    SPAWNER.get()
}

impl Spawner {
    /// Sends a request. The first report frees the place that the returned value takes.
    pub(super) async fn request(
        &self,
        request: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<(Reports, SemaphorePermit<'static>)> {
        let place = REQUESTS.acquire().await.map_err(|_| gone())?;
        let (near, far) = std::os::unix::net::UnixStream::pair()?;
        let reports = Reports::new(near)?;
        let all = [&[far.as_fd()], descriptors].concat();
        self.send(request, &all)?;
        Ok((reports, place))
    }

    /// Sends a request with these descriptors, the first of which is for the reports.
    pub(super) fn send(&self, request: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        send(self.socket.as_fd(), request, descriptors).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => {
                gone()
            }
            _ => error,
        })
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }
}
