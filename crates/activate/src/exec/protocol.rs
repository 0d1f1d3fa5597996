//! The protocol between dormouse and a guard, over a socket pair: a request is one byte, an event is one line. What a
//! guard starts with is in its arguments, because the user's environment is that of the program.

mod arguments;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;

pub(super) use self::arguments::{Confinement, GuardArguments};
use crate::process::Termination;

/// Precedes the names of the program's variables in the environment of its guard. The guard keeps the rights of dormouse,
/// and variables such as `LD_PRELOAD` must have no effect on it.
const VARIABLE_PREFIX: &str = "PROGRAM:";
/// The variable that identifies the program's processes when the guard is gone.
pub(super) const RUN_ID: &str = "DORMOUSE_RUN";

/// Returns the environment of a guard for a program with these variables.
pub(super) fn guard_environment(
    program: Vec<(OsString, OsString)>,
    run_id: &str,
) -> impl Iterator<Item = (OsString, OsString)> {
    let hidden = program.into_iter().map(|(name, value)| {
        let mut hidden = OsString::from(VARIABLE_PREFIX);
        hidden.push(name);
        (hidden, value)
    });
    hidden.chain([(RUN_ID.into(), run_id.into())])
}

/// Returns the environment of the program, in its guard.
pub(super) fn program_environment() -> Vec<(OsString, OsString)> {
    let shown = |(name, value): (OsString, OsString)| {
        if name == RUN_ID {
            return Some((name, value));
        }
        let name = name.as_bytes().strip_prefix(VARIABLE_PREFIX.as_bytes())?;
        Some((OsStr::from_bytes(name).to_owned(), value))
    };
    std::env::vars_os().filter_map(shown).collect()
}

/// A request to a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GuardRequest {
    /// Stop the program and its descendants.
    Stop,
    /// Freeze the program and its descendants.
    Freeze,
    /// Thaw the program and its descendants.
    Thaw,
}

impl GuardRequest {
    pub(super) fn to_byte(self) -> u8 {
        match self {
            Self::Stop => b's',
            Self::Freeze => b'f',
            Self::Thaw => b't',
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Stop, Self::Freeze, Self::Thaw].into_iter().find(|request| request.to_byte() == byte)
    }
}

/// An event that a guard reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GuardEvent {
    /// The program runs.
    Started,
    /// The program could not be started; the value is the error number. The guard ends.
    Failed(i32),
    /// The program was not started, for this reason, which is complete. The guard ends.
    Refused(String),
    /// A part of the confinement is missing.
    Unconfined(String),
    /// The program itself has ended, and some of its descendants still run.
    MainEnded(Termination),
    /// The program and all its descendants have ended. The guard ends.
    Ended(Termination),
    /// The program and its descendants are frozen.
    Frozen,
    /// They cannot be frozen, for this reason, and continue to run.
    FreezeFailed(String),
    /// The program and its descendants run again.
    Thawed,
    /// A warning for the log.
    Warning(String),
}

impl GuardEvent {
    /// Parses a line without its line feed.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match word {
            "started" => Self::Started,
            "failed" => Self::Failed(rest.parse().ok()?),
            "refused" => Self::Refused(rest.to_owned()),
            "unconfined" => Self::Unconfined(rest.to_owned()),
            "main" => Self::MainEnded(parse_termination(rest)?),
            "ended" => Self::Ended(parse_termination(rest)?),
            "frozen" => Self::Frozen,
            "unfreezable" => Self::FreezeFailed(rest.to_owned()),
            "thawed" => Self::Thawed,
            "warning" => Self::Warning(rest.to_owned()),
            _ => return None,
        })
    }
}

/// The line as it is sent, with its line feed.
impl fmt::Display for GuardEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("started\n"),
            Self::Failed(errno) => writeln!(f, "failed {errno}"),
            Self::Refused(reason) => writeln!(f, "refused {}", reason.replace('\n', " ")),
            Self::Unconfined(text) => writeln!(f, "unconfined {}", text.replace('\n', " ")),
            Self::MainEnded(termination) => writeln!(f, "main {}", TerminationCode(*termination)),
            Self::Ended(termination) => writeln!(f, "ended {}", TerminationCode(*termination)),
            Self::Frozen => f.write_str("frozen\n"),
            Self::FreezeFailed(reason) => writeln!(f, "unfreezable {}", reason.replace('\n', " ")),
            Self::Thawed => f.write_str("thawed\n"),
            Self::Warning(text) => writeln!(f, "warning {}", text.replace('\n', " ")),
        }
    }
}

struct TerminationCode(Termination);

impl fmt::Display for TerminationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Termination::Exited(code) => write!(f, "exited {code}"),
            Termination::Killed(signal) => write!(f, "killed {signal}"),
        }
    }
}

fn parse_termination(text: &str) -> Option<Termination> {
    match text.split_once(' ')? {
        ("exited", code) => Some(Termination::Exited(code.parse().ok()?)),
        ("killed", signal) => Some(Termination::Killed(signal.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_requests_survive_a_round_trip() {
        for event in [
            GuardEvent::Started,
            GuardEvent::Failed(2),
            GuardEvent::Refused("no such right".to_owned()),
            GuardEvent::Unconfined("no such thing".to_owned()),
            GuardEvent::MainEnded(Termination::Exited(3)),
            GuardEvent::Ended(Termination::Killed(9)),
            GuardEvent::Frozen,
            GuardEvent::FreezeFailed("no such thing".to_owned()),
            GuardEvent::Thawed,
            GuardEvent::Warning("a b".to_owned()),
        ] {
            let line = event.to_string();
            assert_eq!(GuardEvent::parse(line.strip_suffix('\n').unwrap()), Some(event));
        }
        for junk in ["", "failed", "failed x", "ended", "ended 3", "ended exited", "what"] {
            assert_eq!(GuardEvent::parse(junk), None, "{junk}");
        }
        assert_eq!(GuardRequest::from_byte(b'f'), Some(GuardRequest::Freeze));
        assert_eq!(GuardRequest::from_byte(b'x'), None);
    }
}
