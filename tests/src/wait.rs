//! Waits with deadlines.

use std::thread;
use std::time::{Duration, Instant};

use crate::{Failure, Result};

/// The time limit for events that are expected at once. A busy machine needs far less, so that only a real failure
/// reaches the limit.
pub const SOON: Duration = Duration::from_secs(10);

/// The time limit for events that need work of several processes on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The time at which a wait fails.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    end: Instant,
    limit: Duration,
}

impl Deadline {
    /// Returns the deadline `limit` from now.
    pub fn after(limit: Duration) -> Self {
        Self { end: Instant::now() + limit, limit }
    }

    /// Returns the remaining time, never zero.
    ///
    /// # Errors
    /// [`Failure::TimedOut`] for `waiting_for` when no time is left.
    pub fn left(&self, waiting_for: impl FnOnce() -> String) -> Result<Duration> {
        match self.end.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => Err(self.missed(waiting_for())),
        }
    }

    /// Returns the failure of a wait for `waiting_for` that ran out of time.
    pub fn missed(&self, waiting_for: impl Into<String>) -> Failure {
        Failure::TimedOut { waiting_for: waiting_for.into(), limit: self.limit }
    }
}

/// Does the same as [`until`] while other tasks of this thread go on.
///
/// # Errors
/// As [`until`].
pub async fn until_async<T>(
    what: &str,
    limit: Duration,
    mut check: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Deadline::after(limit);
    loop {
        if let Some(found) = check()? {
            return Ok(found);
        }
        let left = deadline.left(|| what.to_owned())?;
        tokio::time::sleep(Duration::from_millis(5).min(left)).await;
    }
}

/// Calls `check` repeatedly until it returns a value; the interval grows from 1 ms to 20 ms.
///
/// For conditions without an event to wait for, such as another process's state in /proc.
///
/// # Errors
/// The failure of `check`, or [`Failure::TimedOut`] for `what` after `limit`.
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
