//! Changes of files. A restricted process may change neither the mode nor the owner of a file.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use super::client::{Spawner, spawner};
use super::reports::{MAX_REPORT, Report, gone};

/// The time that a change may take. The event loop waits, as it would for the system call, so it is short.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Change<T> {
    change: T,
}

/// Lets the spawner change a file. `None`: there is no spawner.
pub(crate) fn change_file(change: &impl Serialize, file: BorrowedFd<'_>) -> Option<io::Result<()>> {
    spawner().map(|spawner| request(spawner, change, file))
}

fn request(spawner: &Spawner, change: &impl Serialize, file: BorrowedFd<'_>) -> io::Result<()> {
    let (near, far) = UnixStream::pair()?;
    let request = Change { change };
    let descriptors = [far.as_fd(), file];
    match spawner.send(&request, &descriptors) {
        // Its queue is full of other requests.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let timeout = Timespec::try_from(CHANGE_TIMEOUT).ok();
            poll(&mut [PollFd::new(spawner.socket(), PollFlags::OUT)], timeout.as_ref())?;
            spawner.send(&request, &descriptors)?;
        }
        sent => sent?,
    }
    drop(far);
    near.set_read_timeout(Some(CHANGE_TIMEOUT))?;
    let mut line = String::new();
    let read = BufReader::new(near.take(MAX_REPORT as u64)).read_line(&mut line);
    read.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    })?;
    match line.strip_suffix('\n').and_then(Report::parse) {
        Some(Report::Answer(_)) => Ok(()),
        Some(Report::Failed(errno)) => Err(errno.into()),
        Some(Report::Refused) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the configuration did not name this directory, user or group when dormouse started; restart dormouse",
        )),
        _ => Err(gone()),
    }
}
