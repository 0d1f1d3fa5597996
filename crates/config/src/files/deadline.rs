//! A deadline for reading files: a file system may hang, on a server that is gone for example.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

/// The time for all files. A reload as a whole may take a little longer.
const LIMIT: Duration = Duration::from_secs(20);
/// The largest number of threads that wait for a file system after their deadline.
const MOST_WAITING: usize = 3;

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    limit: Duration,
    /// The threads that wait for a file system after their deadline.
    waiting: &'static AtomicUsize,
}

impl Patience {
    /// For all files of the configuration.
    pub(super) fn usual() -> Self {
        static WAITING: AtomicUsize = AtomicUsize::new(0);
        Self { limit: LIMIT, waiting: &WAITING }
    }
}

/// The file that is being read.
#[derive(Debug, Clone)]
pub(super) struct Current(Arc<Mutex<PathBuf>>);

impl Current {
    pub(super) fn set(&self, path: &Path) {
        path.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn path(&self) -> PathBuf {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The files could not be read in time.
#[derive(Debug)]
pub(super) struct Overdue {
    /// The file that was being read.
    pub(super) path: PathBuf,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    Hangs(Duration),
    /// Earlier attempts still wait.
    Waiting(usize),
    ThreadEnded,
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Hangs(limit) => {
                write!(f, "could not be read within {} s; check its file system", limit.as_secs())
            }
            Reason::Waiting(count) => write!(
                f,
                "is not read, because {count} earlier attempts still wait for a file system; check it"
            ),
            Reason::ThreadEnded => f.write_str("could not be read: the thread ended"),
        }
    }
}

/// Runs `work` in a thread and waits for its result. `path` is the file that it reads first.
pub(super) fn within<T: Send + 'static>(
    patience: Patience,
    path: &Path,
    work: impl FnOnce(&Current) -> T + Clone + Send + 'static,
) -> Result<T, Overdue> {
    let current = Current(Arc::new(Mutex::new(path.to_owned())));
    let overdue = |reason| Overdue { path: current.path(), reason };
    let Patience { limit, waiting } = patience;
    let count = waiting.load(Ordering::Relaxed);
    if count >= MOST_WAITING {
        return Err(overdue(Reason::Waiting(count)));
    }
    // Without a buffer, so that a result that comes late is not sent.
    let (sender, receiver) = sync_channel(0);
    let thread = {
        let (work, current) = (work.clone(), current.clone());
        move || {
            if sender.send(work(&current)).is_err() {
                waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
    };
    if Builder::new().name("config".to_owned()).spawn(thread).is_err() {
        // Without threads there is no deadline, but a configuration.
        return Ok(work(&current));
    }
    receiver.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => {
            waiting.fetch_add(1, Ordering::Relaxed);
            overdue(Reason::Hangs(limit))
        }
        RecvTimeoutError::Disconnected => overdue(Reason::ThreadEnded),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Instant;

    static WAITING: AtomicUsize = AtomicUsize::new(0);

    /// Reads from a file system that hangs until the sender is dropped.
    fn hang(limit: Duration) -> (Overdue, Sender<()>) {
        let patience = Patience { limit, waiting: &WAITING };
        let (release, released) = channel();
        let released = Arc::new(Mutex::new(released));
        let read = within(patience, Path::new("/a"), move |current| {
            current.set(Path::new("/b"));
            let _ = released.lock().unwrap().recv();
        });
        (read.unwrap_err(), release)
    }

    /// Waits until the threads have ended, which they do when their file systems answer.
    fn wait_for_threads() {
        let deadline = Instant::now() + Duration::from_secs(60);
        while WAITING.load(Ordering::Relaxed) > 0 {
            assert!(Instant::now() < deadline, "the threads do not end");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_file_system_that_hangs_is_an_error_that_names_the_file() {
        let hanging: Vec<_> = (0..MOST_WAITING).map(|_| hang(Duration::from_millis(1))).collect();
        let (refused, _) = hang(Duration::from_millis(1));
        assert_eq!(refused.path, Path::new("/a"));
        assert!(refused.to_string().contains("3 earlier attempts"), "{refused}");
        drop(hanging);
        wait_for_threads();
        // On a busy machine the thread may begin after its deadline.
        let named = [0, 1, 10].into_iter().map(Duration::from_secs).any(|limit| {
            let (error, release) = hang(limit);
            let expected = format!("could not be read within {} s; check its file system", limit.as_secs());
            assert_eq!(error.to_string(), expected);
            drop(release);
            wait_for_threads();
            error.path == Path::new("/b")
        });
        assert!(named, "the error names the first file");
        assert_eq!(within(Patience::usual(), Path::new("/a"), |_| 7).unwrap(), 7);
    }
}
