//! Words by which other programs call what a key does, so that an unknown key leads to the right one.

use super::keys::{self, Key};

/// The paths of keys, each with words of systemd, containers, `HAProxy` and others for it.
const WORDS: &[(&str, &[&str])] = &[
    ("wake.user", &["uid", "run_as", "runas", "run_as_user", "username", "setuid"]),
    ("wake.group", &["gid", "run_as_group", "setgid"]),
    ("wake.environment", &["env", "environ", "variables"]),
    (
        "wake.directory",
        &["cwd", "dir", "chdir", "workdir", "working_dir", "working_directory", "workingdirectory"],
    ),
    ("wake.exec", &["execstart", "exec_start", "cmd", "command", "program"]),
    ("wake.stop", &["execstop", "exec_stop"]),
    ("wake.unit", &["service", "systemd", "systemd_unit"]),
    ("wake.container", &["docker", "podman", "container_name"]),
    ("listen", &["bind", "port", "addr", "address", "listenstream", "listen_stream"]),
    ("to", &["target", "backend", "upstream", "forward", "forward_to", "destination"]),
    ("idle.stop", &["exit_idle_time", "idle_time", "stop_after"]),
    ("idle.freeze", &["freeze_after", "pause_after"]),
    ("timeout.idle", &["idle_timeout"]),
    ("maxconn", &["connections_max", "max_connections", "maxconnections"]),
    ("proxy_protocol", &["send_proxy", "send_proxy_v2"]),
    ("http", &["metrics", "status_page"]),
    ("control", &["stats_socket", "admin_socket", "control_socket"]),
];

/// Returns the key for which other programs have this word.
pub fn find(word: &str) -> Option<&'static Key> {
    let folded = word.to_lowercase().replace('-', "_");
    let (path, _) = WORDS.iter().find(|(_, words)| words.contains(&folded.as_str()))?;
    keys::find(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_leads_to_one_key_and_is_none_itself() {
        let mut seen = Vec::new();
        for (path, words) in WORDS {
            assert!(keys::find(path).is_some(), "{path}");
            for word in *words {
                assert!(!seen.contains(word), "{word}");
                assert_eq!(find(&word.to_uppercase().replace('_', "-")).map(|key| key.path), Some(*path));
                seen.push(word);
            }
        }
    }
}
