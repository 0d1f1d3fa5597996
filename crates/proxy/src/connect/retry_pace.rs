//! When to try again whether somebody is there: after a delay that grows, or at once when something tells.

use std::path::Path;

use dormouse_core::backoff::Backoff;
use rustix::thread::sched_yield;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::path_watch::PathWatch;

/// A socket's name appears at `bind()`, and who watches may be quicker than the `listen()` behind it: so many tries follow
/// at once, in which the server gets the processor, if it needs this one.
const IMMEDIATE: u32 = 16;

/// The pace of tries for a server that is on its way.
#[derive(Debug)]
pub struct RetryPace<'a> {
    /// What appears when it is there.
    path: Option<&'a Path>,
    watch: Option<PathWatch>,
    backoff: Backoff,
    immediate: u32,
}

impl<'a> RetryPace<'a> {
    /// From the first try on. `path`: what appears when the server is there, if it is known.
    pub fn new(path: Option<&'a Path>) -> Self {
        Self { path, watch: None, backoff: Backoff::COLD_START, immediate: 0 }
    }

    /// The same for a server that nobody waits for.
    pub fn background(path: Option<&'a Path>) -> Self {
        Self { backoff: Backoff::UNASKED, ..Self::new(path) }
    }

    /// To be called before each try, so that nothing is missed between it and the wait for the next one.
    /// `short`: descriptors are lacking, and none must go into watching.
    pub fn watch(&mut self, short: bool) {
        if short {
            self.watch = None;
        } else if self.watch.is_none() {
            self.watch = self.path.and_then(PathWatch::new);
        }
    }

    /// Waits until another try is worth it.
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
