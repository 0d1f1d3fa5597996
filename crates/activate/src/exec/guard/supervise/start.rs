//! The start of the program.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use dormouse_sys::fd_limit;
use dormouse_sys::identity::drop_inherited_capabilities;
use dormouse_sys::spawn::join_group;
use rustix::process::{Pid, getpid};

use super::super::super::control_group::ControlGroup;
use super::super::super::protocol::{GuardArguments, GuardEvent, program_environment};
use super::super::confine::{self, Notes};
use super::super::freezer::Freezer;
use super::Guard;

impl Guard {
    /// Starts the program, and reports the result to dormouse. Returns whether it runs.
    pub(in super::super) fn start(&mut self, arguments: &GuardArguments, descriptor_limit: u64) -> bool {
        let (started, notes) = self.spawn(arguments, descriptor_limit);
        for text in notes.missing {
            self.send(&GuardEvent::Unconfined(text));
        }
        match (started, notes.refusal) {
            (Ok(pid), _) => {
                self.main = Some(pid);
                self.send(&GuardEvent::Started);
                true
            }
            (Err(_), Some(reason)) => {
                self.refuse(&format!("it cannot be confined (wake.sandbox): {reason}"));
                false
            }
            (Err(error), None) => {
                self.send(&GuardEvent::Failed(error.raw_os_error().unwrap_or_default()));
                false
            }
        }
    }

    /// Starts the program, in a control group of its own where possible.
    fn spawn(&mut self, arguments: &GuardArguments, descriptor_limit: u64) -> (io::Result<Pid>, Notes) {
        let group = ControlGroup::create(getpid());
        let command = || {
            let mut command = command(arguments, descriptor_limit);
            if let Some(members) = group.as_ref().and_then(|group| group.members().ok()) {
                join_group(&mut command, members.into());
            }
            command
        };
        let (spawned, notes) = match &arguments.confinement {
            Some(confinement) => confine::spawn(command, confinement, arguments),
            None => (command().spawn(), Notes::default()),
        };
        match group {
            // An empty group is one that the kernel did not let the program join, or a program that has ended.
            Some(group) if spawned.is_ok() && group.has_members() => self.freezer = Freezer::new(Some(group)),
            Some(group) => group.remove(),
            None => {}
        }
        (spawned.and_then(|child| pid_of(&child)), notes)
    }
}

fn command(arguments: &GuardArguments, descriptor_limit: u64) -> Command {
    // Without a program the start fails: an empty name does not exist.
    let mut words = arguments.argv.iter();
    let mut command = Command::new(words.next().map_or(OsStr::new(""), OsStr::new));
    // In a group of its own: a script that signals its group (`kill 0`) must not signal the guard.
    command.args(words).stdin(Stdio::null()).process_group(0);
    fd_limit::set_for(&mut command, descriptor_limit);
    if let (Some(identity), None) = (&arguments.identity, &arguments.confinement) {
        identity.apply_to(&mut command);
    }
    // The guard keeps its capabilities: it signals processes of other users.
    drop_inherited_capabilities(&mut command);
    command.env_clear().envs(program_environment());
    command
}

fn pid_of(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::Other.into())
}
