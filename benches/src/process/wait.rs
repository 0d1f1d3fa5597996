//! The clock, and waiting for descriptors.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    time::{ClockId, clock_gettime},
};

use crate::error::{Error, ErrorContext, Result};

/// Returns the time of the monotonic clock, which is the same in all processes.
pub(crate) fn monotonic() -> Duration {
    clock_gettime(ClockId::Monotonic).try_into().unwrap_or_default()
}

/// Waits until the descriptor is readable. `awaited` names the event in the error.
pub(crate) fn wait_readable(
    source: &impl AsFd,
    timeout: Duration,
    awaited: impl FnOnce() -> String,
) -> Result<()> {
    let until = Instant::now() + timeout;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Timeout { awaited: awaited(), after: timeout });
        }
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(source, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error).context(|| "poll a descriptor".into()),
        }
    }
}
