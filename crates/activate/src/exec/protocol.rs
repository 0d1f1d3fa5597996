//! The protocol between dormouse and a guard, over a socket pair: a request is one byte, an event is one line. What a
//! guard starts with is in its arguments, because the user's environment is that of the program.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_sys::identity::Identity;

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

/// What a guard starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GuardArguments {
    /// The name of the service, which the guard shows as a part of its own name.
    pub(super) service: String,
    /// The time between SIGTERM and SIGKILL.
    pub(super) stop_timeout: Duration,
    /// The program's soft limit on descriptors. `None` is that of the guard.
    pub(super) descriptor_limit: Option<u64>,
    /// The user and the groups of the program. `None` are those of the guard.
    pub(super) identity: Option<Identity>,
    /// The directory of the notification socket, which the guard removes at its end.
    pub(super) notify_directory: Option<PathBuf>,
    /// The program and its arguments.
    pub(super) argv: Vec<OsString>,
}

impl GuardArguments {
    /// Returns the words after the subcommand.
    pub(super) fn to_words(&self) -> Vec<OsString> {
        let ids = |identity: &Identity| {
            let ids = [identity.uid, identity.gid].into_iter().chain(identity.groups.iter().copied());
            ids.map(|id| id.to_string()).collect::<Vec<_>>().join(",")
        };
        let mut words = vec![
            self.service.clone().into(),
            self.stop_timeout.as_millis().to_string().into(),
            self.descriptor_limit.map(|limit| limit.to_string()).unwrap_or_default().into(),
            self.identity.as_ref().map(ids).unwrap_or_default().into(),
            self.notify_directory.clone().unwrap_or_default().into(),
            "--".into(),
        ];
        words.extend(self.argv.iter().cloned());
        words
    }

    /// Parses the words after the subcommand.
    pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut words = words.into_iter();
        let service = words.next()?.into_string().ok()?;
        let stop_timeout = Duration::from_millis(words.next()?.to_str()?.parse().ok()?);
        let descriptor_limit = optional(&words.next()?, |limit| limit.parse().ok())?;
        let identity = optional(&words.next()?, parse_identity)?;
        let notify_directory = Some(words.next()?).filter(|path| !path.is_empty()).map(PathBuf::from);
        let separator = words.next()?;
        let argv: Vec<_> = words.collect();
        (separator == "--" && !argv.is_empty()).then_some(Self {
            service,
            stop_timeout,
            descriptor_limit,
            identity,
            notify_directory,
            argv,
        })
    }
}

/// Parses a word that may be empty. The outer `None` is an error.
#[expect(clippy::option_option, reason = "an absent value is not an error")]
fn optional<T>(word: &OsStr, parse: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    match word.to_str()? {
        "" => Some(None),
        text => parse(text).map(Some),
    }
}

fn parse_identity(text: &str) -> Option<Identity> {
    let ids: Option<Vec<u32>> = text.split(',').map(|id| id.parse().ok()).collect();
    match ids?.as_slice() {
        [uid, gid, groups @ ..] => Some(Identity { uid: *uid, gid: *gid, groups: groups.to_vec() }),
        _ => None,
    }
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
    fn arguments_survive_a_round_trip() {
        let plain = GuardArguments {
            service: "web".to_owned(),
            stop_timeout: Duration::from_millis(1500),
            descriptor_limit: None,
            identity: None,
            notify_directory: None,
            argv: vec!["sh".into(), "--".into(), "".into()],
        };
        let full = GuardArguments {
            descriptor_limit: Some(1024),
            identity: Some(Identity { uid: 1, gid: 2, groups: vec![3, 4] }),
            notify_directory: Some("/run/x".into()),
            ..plain.clone()
        };
        let no_groups = GuardArguments {
            identity: Some(Identity { uid: 0, gid: 0, groups: Vec::new() }),
            ..plain.clone()
        };
        for arguments in [plain, full, no_groups] {
            assert_eq!(GuardArguments::parse(arguments.to_words()), Some(arguments));
        }
        for junk in [
            &[][..],
            &["web", "1", "", "", "", "--"],
            &["web", "x", "", "", "", "--", "sh"],
            &["web", "1", "x", "", "", "--", "sh"],
            &["web", "1", "", "1", "", "--", "sh"],
            &["web", "1", "", "1,-1", "", "--", "sh"],
            &["web", "1", "", "", "", "sh"],
        ] {
            assert_eq!(GuardArguments::parse(junk.iter().map(OsString::from)), None, "{junk:?}");
        }
    }

    #[test]
    fn events_and_requests_survive_a_round_trip() {
        for event in [
            GuardEvent::Started,
            GuardEvent::Failed(2),
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
