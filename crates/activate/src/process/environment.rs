//! The environment of started programs: that of dormouse without what concerns dormouse alone.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Environment variables that concern dormouse alone. A program gets one of them only from its own configuration.
const PRIVATE_VARIABLES: [&str; 16] = [
    // The secrets of dormouse's unit (`LoadCredential=`).
    "CREDENTIALS_DIRECTORY",
    "NOTIFY_SOCKET",
    "JOURNAL_STREAM",
    "INVOCATION_ID",
    "MAINPID",
    "MANAGERPID",
    "MANAGERPIDFDID",
    "SYSTEMD_EXEC_PID",
    "SYSTEMD_ACTIVATION_UNIT",
    "SYSTEMD_ACTIVATION_SCOPE",
    "FDSTORE",
    "PIDFILE",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "DORMOUSE_RUN",
    "DORMOUSE_SERVICE",
];
/// The prefixes of further such variables.
const PRIVATE_PREFIXES: [&str; 4] = ["LISTEN_", "WATCHDOG_", "MEMORY_PRESSURE_", "TRIGGER_"];

/// Returns the environment of dormouse without its private variables, with the name of the service added.
pub(crate) fn environment(service: &str) -> Vec<(OsString, OsString)> {
    let mut variables = base_environment();
    variables.push(("DORMOUSE_SERVICE".into(), service.into()));
    variables
}

/// Returns the environment of dormouse without its private variables.
pub(crate) fn base_environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| !is_private(name)).collect()
}

fn is_private(name: &OsStr) -> bool {
    PRIVATE_VARIABLES.iter().any(|private| name == *private)
        || PRIVATE_PREFIXES.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_variables_are_not_inherited() {
        for name in [
            "NOTIFY_SOCKET",
            "LISTEN_FDS",
            "LISTEN_FDNAMES",
            "WATCHDOG_USEC",
            "JOURNAL_STREAM",
            "CREDENTIALS_DIRECTORY",
            "DORMOUSE_RUN",
            "DORMOUSE_SERVICE",
        ] {
            assert!(is_private(name.as_ref()), "{name}");
        }
        for name in ["PATH", "HOME", "LISTENER", "STATE_DIRECTORY"] {
            assert!(!is_private(name.as_ref()), "{name}");
        }
    }
}
