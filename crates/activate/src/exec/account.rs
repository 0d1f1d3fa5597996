//! The user that a program runs as.

use std::ffi::OsString;
use std::fmt;
use std::io;

use dormouse_sys::identity::Identity;
use dormouse_sys::users::{self, User};
use serde::{Deserialize, Serialize};

/// Shells of users who do not log in. As for systemd, a program does not get them as its `SHELL`.
const NO_LOGIN: [&str; 6] =
    ["/usr/sbin/nologin", "/sbin/nologin", "/usr/bin/false", "/bin/false", "/usr/bin/true", "/bin/true"];
/// The variables that describe the user.
const VARIABLES: [&str; 4] = ["HOME", "LOGNAME", "SHELL", "USER"];

/// A user and the groups with which a program runs, and what its environment says about them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Account {
    /// The name of the user; the number if it has no name.
    pub name: String,
    /// The IDs.
    #[serde(with = "Ids")]
    pub identity: Identity,
    /// The home directory, unless it is / or missing.
    pub home: Option<OsString>,
    /// The login shell, unless it refuses logins.
    pub shell: Option<OsString>,
}

/// The fields of [`Identity`], as the spawner gets them.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Identity")]
struct Ids {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

/// Why there is no such account. Its `Display` contains the remedy.
#[derive(Debug)]
pub enum AccountError {
    /// No user has this name.
    NoUser,
    /// No group has this name or number.
    NoGroup(String),
    /// The user is a number without a name, so that its group is not known.
    GroupNeeded,
    /// The databases cannot be read.
    Database(io::Error),
    /// All users that a service could have for itself exist already.
    NoneFree,
}

impl Account {
    /// Finds a user by name or number, with all its groups. `group` replaces the user's own group.
    ///
    /// # Errors
    /// An [`AccountError`] if the user or the group does not exist.
    pub fn find(user: &str, group: Option<&str>) -> Result<Self, AccountError> {
        let number = user.parse().ok().filter(|uid| *uid != u32::MAX);
        let found = match number {
            Some(uid) => users::user_with_id(uid),
            None => users::user(user),
        };
        let entry = found.map_err(AccountError::Database)?;
        let uid = entry.as_ref().map(|entry| entry.uid).or(number).ok_or(AccountError::NoUser)?;
        let gid = match (group, &entry) {
            (Some(group), _) => find_group(group)?,
            (None, Some(entry)) => entry.gid,
            (None, None) => return Err(AccountError::GroupNeeded),
        };
        let groups = match &entry {
            Some(entry) => users::groups(&entry.name, gid).map_err(AccountError::Database)?,
            None => vec![gid],
        };
        let (name, home, shell) = match entry {
            Some(User { name, home, shell, .. }) => (name, Some(home), Some(shell)),
            None => (user.to_owned(), None, None),
        };
        Ok(Self {
            name,
            identity: Identity { uid, gid, groups },
            home: home.filter(|home| !home.is_empty() && home != "/"),
            shell: shell.filter(|shell| !shell.is_empty() && !NO_LOGIN.iter().any(|none| shell == *none)),
        })
    }

    /// Replaces the variables that describe dormouse's user in an environment.
    pub(super) fn describe_in(&self, environment: &mut Vec<(OsString, OsString)>) {
        environment.retain(|(name, _)| !VARIABLES.iter().any(|variable| name == *variable));
        let name = OsString::from(&self.name);
        let values = [self.home.clone(), Some(name.clone()), self.shell.clone(), Some(name)];
        for (variable, value) in VARIABLES.iter().zip(values) {
            environment.extend(value.map(|value| (OsString::from(variable), value)));
        }
    }
}

fn find_group(group: &str) -> Result<u32, AccountError> {
    if let Some(gid) = group.parse().ok().filter(|gid| *gid != u32::MAX) {
        return Ok(gid);
    }
    let found = users::group_id(group).map_err(AccountError::Database)?;
    found.ok_or_else(|| AccountError::NoGroup(group.to_owned()))
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUser => f.write_str("the user does not exist; create it, or name another"),
            Self::NoGroup(group) => {
                write!(f, "the group {group:?} does not exist; create it, or name another")
            }
            Self::GroupNeeded => {
                f.write_str("no user has this number, so its group is not known; set the group")
            }
            Self::Database(error) => write!(f, "cannot be looked up: {error}; write a number"),
            Self::NoneFree => f.write_str("no number from 61184 to 65519 is free; name a user"),
        }
    }
}

impl std::error::Error for AccountError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn users_are_found_by_name_and_by_number() {
        let root = Account::find("root", None).unwrap();
        assert_eq!((root.identity.uid, root.identity.gid), (0, 0));
        assert_eq!(root.home.as_deref(), Some(OsStr::new("/root")));
        assert_eq!(Account::find("0", None).unwrap(), root);
        let other = Account::find("64321", Some("64322")).unwrap();
        assert_eq!(other.identity, Identity { uid: 64_321, gid: 64_322, groups: vec![64_322] });
        assert_eq!(other.name, "64321");
        for (user, group, error) in [
            ("no-such-user-here", None, "the user does not exist"),
            ("4294967295", None, "the user does not exist"),
            ("-1", None, "the user does not exist"),
            ("root", Some("no-such-group"), "the group \"no-such-group\" does not exist"),
            ("64321", None, "set the group"),
        ] {
            let found = Account::find(user, group).unwrap_err().to_string();
            assert!(found.contains(error), "{user} {group:?}: {found}");
        }
    }

    #[test]
    fn the_environment_describes_the_user() {
        let mut environment: Vec<(OsString, OsString)> =
            [("HOME", "/root"), ("USER", "root"), ("SHELL", "/bin/sh"), ("PATH", "/bin")]
                .map(|(name, value)| (name.into(), value.into()))
                .to_vec();
        let account = Account {
            name: "web".to_owned(),
            identity: Identity { uid: 1, gid: 1, groups: Vec::new() },
            home: Some("/srv/web".into()),
            shell: None,
        };
        account.describe_in(&mut environment);
        environment.sort();
        let expected = [("HOME", "/srv/web"), ("LOGNAME", "web"), ("PATH", "/bin"), ("USER", "web")];
        assert_eq!(environment, expected.map(|(name, value)| (name.into(), value.into())));
    }
}
