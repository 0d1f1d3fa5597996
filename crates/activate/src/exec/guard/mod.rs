//! The guard: a process between dormouse and a program that dormouse starts.
//!
//! When its socket to dormouse is closed, for whatever reason, the guard stops the program and all its descendants. It
//! may outlive dormouse until they have ended. It is the subreaper of all descendants of the program, whatever their
//! group or session. It has one thread, which waits for requests and for the end of children.

mod descendants;
mod freezer;
mod supervise;

use std::ffi::{CString, OsString};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Signal, getpid, set_child_subreaper, setsid};

pub(crate) use self::descendants::descendants_of;
pub(crate) use self::freezer::directory_of_group;
use self::supervise::Guard;
use super::notify_socket;
use super::protocol::DESCRIPTOR_LIMIT;

/// SIGCHLD, and the signals that would kill the guard before the program.
const HANDLED_SIGNALS: [Signal; 6] =
    [Signal::CHILD, Signal::HUP, Signal::INT, Signal::QUIT, Signal::USR1, Signal::TERM];

/// Runs a guard. The arguments are those after the subcommand: `STOP_TIMEOUT -- PROGRAM ARGUMENTS…`, with the stop
/// timeout in milliseconds. Standard input is the socket to dormouse.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let timeout = args.next().and_then(|text| text.to_str()?.parse().ok()).map(Duration::from_millis);
    let (Some(stop_timeout), Some(_), Some(program)) = (timeout, args.next(), args.next()) else {
        return fail("This is an internal command of dormouse; do not run it directly.");
    };
    match guard(stop_timeout, &program, args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("The guard of {} failed: {error}", program.to_string_lossy())),
    }
}

fn fail(reason: &str) -> ExitCode {
    // There is no other place to report an error of standard error.
    let _ = writeln!(io::stderr(), "{reason}");
    ExitCode::FAILURE
}

fn guard(stop_timeout: Duration, program: &OsString, args: impl Iterator<Item = OsString>) -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.peer_addr()?;
    // Fails only if the guard is a process group leader already, which is sufficient.
    let _ = setsid();
    // With another name, `pkill` for the program does not kill the guard before the program.
    let name = std::env::var("DORMOUSE_SERVICE").unwrap_or_default();
    if let Ok(name) = CString::new(format!("guard:{name}")) {
        let _ = rustix::thread::set_name(&name);
    }
    set_child_subreaper(Some(getpid()))?;
    if let Some(limit) = std::env::var(DESCRIPTOR_LIMIT).ok().and_then(|limit| limit.parse().ok()) {
        dormouse_sys::fd_limit::set(limit);
    }
    let signals = signals()?;
    let mut guard = Guard::new(socket, stop_timeout);
    if guard.start(program, args) {
        guard.watch(&signals)?;
    }
    notify_socket::remove_left_behind();
    Ok(())
}

/// Returns a socket that receives a byte with each signal. The program does not inherit it.
fn signals() -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    for signal in HANDLED_SIGNALS {
        signal_hook::low_level::pipe::register(signal.as_raw(), write.try_clone()?)?;
    }
    read.set_nonblocking(true)?;
    Ok(read)
}
