//! Waiting, always with a deadline.

use std::thread;
use std::time::{Duration, Instant};

use crate::{Failure, Result};

/// How long anything may take that is expected to happen at once: far above what a busy machine needs, so
/// that only a real failure meets it.
pub const SOON: Duration = Duration::from_secs(10);

/// How long anything may take that needs some work of several processes, on a machine that is busy with others.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A moment after which a wait is given up.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    end: Instant,
    limit: Duration,
}

impl Deadline {
    /// The moment `limit` from now.
    pub fn after(limit: Duration) -> Self {
        Self { end: Instant::now() + limit, limit }
    }

    /// The time that is left, never zero.
    ///
    /// # Errors
    /// [`Failure::TimedOut`] for `waiting_for` when nothing is left.
    pub fn left(&self, waiting_for: impl FnOnce() -> String) -> Result<Duration> {
        match self.end.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => Err(self.missed(waiting_for())),
        }
    }

    /// The failure of having waited for `waiting_for` in vain.
    pub fn missed(&self, waiting_for: impl Into<String>) -> Failure {
        Failure::TimedOut { waiting_for: waiting_for.into(), limit: self.limit }
    }
}

/// Asks `check` again and again, from 1 ms apart growing to 20 ms, until it gives something.
///
/// For conditions that have no event to wait for, such as another process' state in /proc.
///
/// # Errors
/// What `check` fails with, or [`Failure::TimedOut`] for `what` after `limit`.
pub fn until<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Deadline::after(limit);
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(found) = check()? {
            return Ok(found);
        }
        let left = deadline.left(|| what.to_owned())?;
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
