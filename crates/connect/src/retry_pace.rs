//! The times of connection retries: after a growing delay, or at once when the socket appears.

use std::path::Path;

use dormouse_core::backoff::Backoff;
use rustix::thread::sched_yield;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::path_watch::PathWatch;

/// The number of immediate retries after a path appears. It appears at `bind()`, and the watcher may be faster than the
/// following `listen()`; the retries yield the processor to the server.
const IMMEDIATE: u32 = 16;

/// The pace of retries for a server that starts.
#[derive(Debug)]
pub struct RetryPace<'a> {
    /// The path that appears when the server listens.
    path: Option<&'a Path>,
    watch: Option<PathWatch>,
    backoff: Backoff,
    immediate: u32,
}

impl<'a> RetryPace<'a> {
    /// Creates the pace for the first try. `path` appears when the server listens.
    pub fn new(path: Option<&'a Path>) -> Self {
        Self { path, watch: None, backoff: Backoff::READINESS, immediate: 0 }
    }

    /// Creates the pace for a server that no client waits for.
    pub fn background(path: Option<&'a Path>) -> Self {
        Self { backoff: Backoff::BACKGROUND, ..Self::new(path) }
    }

    /// Must be called before each try, so that no event is missed between the try and the wait.
    /// `fds_are_scarce`: do not watch.
    pub fn watch(&mut self, fds_are_scarce: bool) {
        if fds_are_scarce {
            self.watch = None;
        } else if self.watch.is_none() {
            self.watch = self.path.and_then(PathWatch::new);
        }
    }

    /// Waits for the next try.
    pub async fn next_try(&mut self) {
        if self.immediate > 0 {
            self.immediate -= 1;
            sched_yield();
            return yield_now().await;
        }
        let delay = sleep(self.backoff.next_delay());
        match &mut self.watch {
            None => delay.await,
            Some(watch) => tokio::select! {
                () = watch.changed() => {
                    self.backoff.reset();
                    self.immediate = if self.path.is_some_and(Path::exists) { IMMEDIATE } else { 0 };
                }
                () = delay => {}
            },
        }
    }
}
