//! What a guard starts with, as words of its command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use dormouse_sys::identity::Identity;

/// What a guard starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct GuardArguments {
    /// The name of the service, which the guard shows as a part of its own name.
    pub(in super::super) service: String,
    /// The time between SIGTERM and SIGKILL.
    pub(in super::super) stop_timeout: Duration,
    /// The program's soft limit on descriptors. `None` is that of the guard.
    pub(in super::super) descriptor_limit: Option<u64>,
    /// The user and the groups of the program. `None` are those of the guard.
    pub(in super::super) identity: Option<Identity>,
    /// The directory of the notification socket, which the guard removes at its end.
    pub(in super::super) notify_directory: Option<PathBuf>,
    /// The confinement of the program, if it is confined.
    pub(in super::super) confinement: Option<Confinement>,
    /// The program and its arguments.
    pub(in super::super) argv: Vec<OsString>,
}

/// A strict confinement: what the program may write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Confinement {
    /// The working directory, if one is configured.
    pub(in super::super) directory: Option<PathBuf>,
    /// The directory of the program's UNIX socket.
    pub(in super::super) socket_directory: Option<PathBuf>,
}

/// The word for a confinement.
const STRICT: &str = "strict";

impl GuardArguments {
    /// Returns the words after the subcommand.
    pub(in super::super) fn to_words(&self) -> Vec<OsString> {
        let ids = |identity: &Identity| {
            let ids = [identity.uid, identity.gid].into_iter().chain(identity.groups.iter().copied());
            ids.map(|id| id.to_string()).collect::<Vec<_>>().join(",")
        };
        let confinement = self.confinement.as_ref();
        let strict = confinement.map_or("", |_| STRICT);
        let path = |path: Option<&PathBuf>| path.cloned().unwrap_or_default().into_os_string();
        let mut words = vec![
            self.service.clone().into(),
            self.stop_timeout.as_millis().to_string().into(),
            self.descriptor_limit.map(|limit| limit.to_string()).unwrap_or_default().into(),
            self.identity.as_ref().map(ids).unwrap_or_default().into(),
            path(self.notify_directory.as_ref()),
            strict.into(),
            path(confinement.and_then(|one| one.directory.as_ref())),
            path(confinement.and_then(|one| one.socket_directory.as_ref())),
            "--".into(),
        ];
        words.extend(self.argv.iter().cloned());
        words
    }

    /// Parses the words after the subcommand.
    pub(in super::super) fn parse(words: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut words = words.into_iter();
        let service = words.next()?.into_string().ok()?;
        let stop_timeout = Duration::from_millis(words.next()?.to_str()?.parse().ok()?);
        let descriptor_limit = optional(&words.next()?, |limit| limit.parse().ok())?;
        let identity = optional(&words.next()?, parse_identity)?;
        let mut path = || Some(Some(words.next()?).filter(|path| !path.is_empty()).map(PathBuf::from));
        let notify_directory = path()?;
        let strict = optional(&words.next()?, |word| (word == STRICT).then_some(()))?;
        let mut path = || Some(Some(words.next()?).filter(|path| !path.is_empty()).map(PathBuf::from));
        let (directory, socket_directory) = (path()?, path()?);
        let confinement = strict.map(|()| Confinement { directory, socket_directory });
        let separator = words.next()?;
        let argv: Vec<_> = words.collect();
        (separator == "--" && !argv.is_empty()).then_some(Self {
            service,
            stop_timeout,
            descriptor_limit,
            identity,
            notify_directory,
            confinement,
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
            confinement: None,
            argv: vec!["sh".into(), "--".into(), "".into()],
        };
        let full = GuardArguments {
            descriptor_limit: Some(1024),
            identity: Some(Identity { uid: 1, gid: 2, groups: vec![3, 4] }),
            notify_directory: Some("/run/x".into()),
            ..plain.clone()
        };
        let confined = GuardArguments {
            confinement: Some(Confinement { directory: Some("/srv/a b".into()), socket_directory: None }),
            ..full.clone()
        };
        let no_groups = GuardArguments {
            identity: Some(Identity { uid: 0, gid: 0, groups: Vec::new() }),
            ..plain.clone()
        };
        for arguments in [plain, full, confined, no_groups] {
            assert_eq!(GuardArguments::parse(arguments.to_words()), Some(arguments));
        }
        for junk in [
            &[][..],
            &["web", "1", "", "", "", "", "", "", "--"],
            &["web", "x", "", "", "", "", "", "", "--", "sh"],
            &["web", "1", "x", "", "", "", "", "", "--", "sh"],
            &["web", "1", "", "1", "", "", "", "", "--", "sh"],
            &["web", "1", "", "1,-1", "", "", "", "", "--", "sh"],
            &["web", "1", "", "", "", "loose", "", "", "--", "sh"],
            &["web", "1", "", "", "", "", "", "", "sh"],
        ] {
            assert_eq!(GuardArguments::parse(junk.iter().map(OsString::from)), None, "{junk:?}");
        }
    }
}
