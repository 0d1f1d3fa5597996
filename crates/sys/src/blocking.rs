//! Blocking work in a thread of its own.
//!
//! The runtime's own pool of threads panics when the system refuses a thread. Here the refusal is an error.

use std::fmt;
use std::thread::Builder;

use rustix::io::Errno;
use tokio::sync::oneshot;

/// Work that runs in a thread, and its result.
#[derive(Debug)]
pub struct BlockingTask<T>(Result<oneshot::Receiver<T>, Errno>);

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockingError {
    /// The system refused a thread: a limit of the process, the user or the service.
    NoThread(Errno),
    /// The thread ended without a result.
    ThreadEnded,
}

/// Runs `work` in a new thread of this name. The work goes on if the task is dropped.
pub fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> BlockingTask<T> {
    let (sender, receiver) = oneshot::channel();
    let work = move || {
        // Sending fails if the task was dropped. The work is done all the same.
        let _ = sender.send(work());
    };
    let spawned = Builder::new().name(name.to_owned()).spawn(work);
    BlockingTask(
        spawned.map(|_| receiver).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN)),
    )
}

impl<T> BlockingTask<T> {
    /// Waits for the result. Cancel-safe: a dropped wait may be repeated.
    ///
    /// # Errors
    /// When the system refused a thread, or the thread ended without a result.
    pub async fn result(&mut self) -> Result<T, BlockingError> {
        match &mut self.0 {
            Ok(receiver) => receiver.await.map_err(|_| BlockingError::ThreadEnded),
            Err(error) => Err(BlockingError::NoThread(*error)),
        }
    }
}

impl fmt::Display for BlockingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoThread(error) => {
                let error = std::io::Error::from(*error);
                write!(f, "cannot start a thread: {error}; raise TasksMax= or ulimit -u")
            }
            Self::ThreadEnded => f.write_str("the thread ended without a result"),
        }
    }
}

impl std::error::Error for BlockingError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    #[tokio::test]
    async fn the_result_comes_from_a_thread_of_that_name() {
        let mut task = spawn("worker", || std::thread::current().name().map(str::to_owned));
        assert_eq!(task.result().await.unwrap().as_deref(), Some("worker"));
    }

    #[tokio::test]
    async fn a_dropped_wait_loses_nothing() {
        let (start, started) = mpsc::channel();
        let mut task = spawn("worker", move || started.recv().unwrap());
        {
            let mut wait = std::pin::pin!(task.result());
            assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        start.send(7).unwrap();
        assert_eq!(task.result().await, Ok(7));
    }

    #[tokio::test]
    async fn work_that_panics_has_no_result() {
        let mut task = spawn("worker", || std::panic::resume_unwind(Box::new(())));
        assert_eq!(task.result().await, Err::<(), _>(BlockingError::ThreadEnded));
    }

    #[tokio::test]
    async fn a_refused_thread_is_an_error() {
        let mut task = BlockingTask::<()>(Err(Errno::AGAIN));
        assert_eq!(task.result().await, Err(BlockingError::NoThread(Errno::AGAIN)));
    }
}
