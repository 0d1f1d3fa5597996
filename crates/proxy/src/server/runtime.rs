//! The event loop of the process.

use std::future::Future;
use std::io;

use rustix::event::epoll::{self, CreateFlags};

/// After so many turns of sessions new events are looked for, so that a bulk flow's turns do not keep the others
/// waiting for long.
const EVENT_INTERVAL: u32 = 16;

/// How many the event loop takes: to wait, to be woken, and to hear of signals.
const DESCRIPTORS: usize = 8;

/// Runs this on an event loop of its own, to its end.
///
/// # Errors
/// When the system gives us no event loop.
pub fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    // Where these cannot be had, the runtime would not be an error but a panic.
    let room =
        (0..DESCRIPTORS).map(|_| epoll::create(CreateFlags::CLOEXEC)).collect::<Result<Vec<_>, _>>()?;
    drop(room);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().event_interval(EVENT_INTERVAL).build()?;
    let result = runtime.block_on(future);
    // A resolver's thread may hang for long; nobody waits for it.
    runtime.shutdown_background();
    Ok(result)
}
