//! The guard: a process between dormouse and a program that dormouse starts.
//!
//! When its socket to dormouse is closed, for whatever reason, the guard stops the program and all its descendants. It
//! may outlive dormouse until they have ended. It is the subreaper of all descendants of the program, whatever their
//! group or session. It has one thread, which waits for requests and for the end of children.

mod confine;
mod descendants;
mod freezer;
mod supervise;

use std::ffi::{CString, OsString};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use dormouse_sys::{fd_limit, inherited};
use rustix::process::{getpid, getppid, set_child_subreaper, setsid};

pub(super) use self::confine::unrestricted;
use self::descendants::MIN_DESCRIPTORS;
pub(crate) use self::descendants::descendants_of;
use self::supervise::Guard;
use super::notify_socket;
use super::protocol::GuardArguments;
use crate::process::{handled_signals, too_few_descriptors};

/// Runs a guard. The arguments are those after the subcommand. Standard input is the socket to dormouse.
///
/// A guard reads nothing from its environment but the variables of its program, whose names are hidden from the dynamic
/// linker and all libraries.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some(arguments) = GuardArguments::parse(args) else {
        return fail("This is an internal command of dormouse; do not run it directly.");
    };
    match guard(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("The guard of {} failed: {error}", arguments.service)),
    }
}

fn fail(reason: &str) -> ExitCode {
    // There is no other place to report an error of standard error.
    let _ = writeln!(io::stderr(), "{reason}");
    ExitCode::FAILURE
}

fn guard(arguments: &GuardArguments) -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.peer_addr()?;
    inherited::close_on_exec();
    // Fails only if the guard is a process group leader already, which is sufficient.
    let _ = setsid();
    // With another name, `pkill` for the program does not kill the guard before the program.
    if let Ok(name) = CString::new(format!("guard:{}", arguments.service)) {
        let _ = rustix::thread::set_name(&name);
    }
    let parent = getppid();
    set_child_subreaper(Some(getpid()))?;
    let descriptor_limit = arguments.descriptor_limit.unwrap_or_else(fd_limit::current);
    // The guard holds each descendant by a descriptor before it signals it.
    let own_limit = fd_limit::raise(u64::MAX);
    let signals = handled_signals()?;
    let mut guard = Guard::new(socket, arguments.stop_timeout);
    if own_limit < MIN_DESCRIPTORS {
        guard.refuse(&too_few_descriptors(own_limit, MIN_DESCRIPTORS));
    } else if guard.start(arguments, descriptor_limit) {
        guard.watch(&signals)?;
    }
    if let Some(directory) = &arguments.notify_directory {
        // It still exists only if dormouse was killed.
        notify_socket::remove(directory);
        if getppid() != parent {
            // The spawner has ended, and nothing will be made there any more.
            notify_socket::remove_common_of(directory);
        }
    }
    Ok(())
}
