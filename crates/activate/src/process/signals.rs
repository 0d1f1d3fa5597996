//! Signals of a process that watches over others.

use std::io;
use std::os::unix::net::UnixStream;

use rustix::process::Signal;

/// SIGCHLD, and the signals that would kill such a process before those that it watches.
const HANDLED: [Signal; 6] =
    [Signal::CHILD, Signal::HUP, Signal::INT, Signal::QUIT, Signal::USR1, Signal::TERM];

/// Returns a non-blocking socket that receives a byte with each of these signals. Programs do not inherit it.
///
/// # Errors
/// When no descriptors are left.
pub(crate) fn handled_signals() -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    for signal in HANDLED {
        signal_hook::low_level::pipe::register(signal.as_raw(), write.try_clone()?)?;
    }
    read.set_nonblocking(true)?;
    Ok(read)
}
