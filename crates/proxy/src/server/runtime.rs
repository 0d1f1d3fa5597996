//! The event loop of the process.

use std::future::Future;
use std::io;

use rustix::event::epoll::{self, CreateFlags};

/// The number of task polls between two checks for new events. It bounds the delay that bulk flows cause for others.
const EVENT_INTERVAL: u32 = 16;

/// The number of descriptors that the event loop needs.
const DESCRIPTORS: usize = 8;

/// Runs a future to its end on a new event loop.
///
/// # Errors
/// When the event loop cannot be created.
pub fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    // Tokio panics if it has too few descriptors; this check returns an error instead.
    let room =
        (0..DESCRIPTORS).map(|_| epoll::create(CreateFlags::CLOEXEC)).collect::<Result<Vec<_>, _>>()?;
    drop(room);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().event_interval(EVENT_INTERVAL).build()?;
    // The task ends at once, unless dormouse is the first process of a container.
    let reaper = runtime.spawn(dormouse_activate::reap_adopted());
    let result = runtime.block_on(future);
    reaper.abort();
    // A resolver thread may block for long; do not wait for it.
    runtime.shutdown_background();
    Ok(result)
}
