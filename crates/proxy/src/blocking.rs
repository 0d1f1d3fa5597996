//! What may block, in a thread of its own.

use std::fmt;
use std::thread::Builder;

use rustix::io::Errno;
use tokio::sync::oneshot;

/// An answer that comes from a thread.
#[derive(Debug)]
pub struct Aside<T>(Result<oneshot::Receiver<T>, Errno>);

/// Why there is no answer.
#[derive(Debug)]
pub enum AsideError {
    /// The system gives us no thread: a limit of the process, the user or the service.
    NoThread(Errno),
    /// It ended without an answer.
    Ended,
}

/// Has this done. It goes on also when nobody waits for it any more. Unlike the runtime's threads, which panic where the
/// system has none to give, this is an error.
pub fn aside<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Aside<T> {
    let (tell, told) = oneshot::channel();
    let work = move || {
        // Where nobody waits any more, what was done is done.
        let _ = tell.send(work());
    };
    let spawned = Builder::new().name(name.to_owned()).spawn(work);
    Aside(spawned.map(|_| told).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN)))
}

impl<T> Aside<T> {
    /// Waits for the answer. Nothing is lost when this is given up and called again.
    ///
    /// # Errors
    /// When there will be none.
    pub async fn answer(&mut self) -> Result<T, AsideError> {
        match &mut self.0 {
            Ok(told) => told.await.map_err(|_| AsideError::Ended),
            Err(error) => Err(AsideError::NoThread(*error)),
        }
    }
}

impl fmt::Display for AsideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoThread(error) => {
                let error = std::io::Error::from(*error);
                write!(f, "the system has no thread for it: {error} (see TasksMax= and ulimit -u)")
            }
            Self::Ended => f.write_str("its thread ended"),
        }
    }
}

impl std::error::Error for AsideError {}
