//! Commands that do not exist, and the ones that were probably meant.

use std::path::Path;

use dormouse_config::suggest::nearest;
use dormouse_core::getopt::Tier;

use super::proxy_flags::PROXY;
use super::{COMMANDS, SOCKET_PROXYD};

/// Words of systemctl, containers and other programs, each with what dormouse has for it.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (
        &["start", "up"],
        "dormouse wake NAME starts a service; systemctl start dormouse.service or dormouse run starts dormouse itself",
    ),
    (
        &["stop", "down", "kill"],
        "dormouse sleep NAME stops a service; systemctl stop dormouse.service stops dormouse itself",
    ),
    (
        &["restart", "try-restart"],
        "dormouse sleep NAME stops a service, and its next client starts it; dormouse reload reads the configuration \
         again, and systemctl restart dormouse.service restarts dormouse itself",
    ),
    (
        &["list", "ls", "ps", "show", "services", "list-units", "sessions", "info"],
        "dormouse status shows the services",
    ),
    (&["monitor", "watch"], "dormouse top shows the services live"),
    (
        &["log", "logs", "journal"],
        "journalctl -u dormouse.service shows the log; dormouse explain NAME shows why a service is awake",
    ),
    (
        &["enable", "disable", "is-enabled"],
        "systemctl enable --now dormouse.service starts dormouse now and at boot; dormouse drain NAME takes a service \
         out of use, and dormouse undrain NAME ends that",
    ),
    (&["pause", "suspend", "hibernate"], "dormouse freeze NAME freezes a service"),
    (&["unpause", "resume", "unfreeze"], "dormouse thaw NAME thaws a service"),
    (&["test", "verify", "validate", "configtest", "lint"], "dormouse check checks the configuration"),
    (&["why"], "dormouse explain NAME shows why a service is awake"),
    (&["man", "docs"], "dormouse manual lists the manual pages"),
    (&["serve", "daemon", "service"], "dormouse run starts the services of a configuration"),
];

/// Returns the message for a command that does not exist.
pub(super) fn message(command: &str) -> String {
    let names = || COMMANDS.iter().map(|(name, _)| *name);
    let hint = if let Some(hint) = elsewhere(command) {
        hint.to_owned()
    } else if let Some(meant) = nearest(command, names()) {
        format!("did you mean {meant}?")
    } else if is_file(command) {
        format!("dormouse run --config={command} starts its services, and dormouse check {command} checks it")
    } else if begins_like_socket_proxyd(command) {
        format!("to use dormouse in place of {SOCKET_PROXYD}, write dormouse proxy {command}")
    } else {
        format!("choose one of {}", names().collect::<Vec<_>>().join(", "))
    };
    format!("Unknown command {command:?}; {hint}")
}

fn elsewhere(command: &str) -> Option<&'static str> {
    let command = command.to_lowercase();
    ELSEWHERE.iter().find(|(words, _)| words.contains(&command.as_str())).map(|(_, hint)| *hint)
}

fn is_file(word: &str) -> bool {
    Path::new(word).extension().is_some_and(|extension| extension == "toml")
}

/// Returns whether a command line of systemd-socket-proxyd may begin with this word: one of its options, or a target.
fn begins_like_socket_proxyd(word: &str) -> bool {
    let name = word.split('=').next().unwrap_or_default();
    let mut originals =
        PROXY.iter().map(|definition| definition.spec).filter(|spec| spec.tier == Tier::Original);
    let is_option = originals.any(|spec| {
        name == format!("--{}", spec.long)
            || spec.short.is_some_and(|letter| name.starts_with(&format!("-{letter}")))
    });
    is_option || word.starts_with(['/', '@']) || word.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_other_programs_lead_to_commands() {
        for (command, meant) in [
            ("stop", "dormouse sleep NAME"),
            ("start", "dormouse wake NAME"),
            ("list", "dormouse status"),
            ("restart", "dormouse reload"),
            ("logs", "journalctl -u dormouse.service"),
            ("enable", "systemctl enable --now dormouse.service"),
            ("Pause", "dormouse freeze NAME"),
        ] {
            let message = message(command);
            assert!(message.contains(meant) && !message.contains("proxy"), "{message}");
        }
        assert_eq!(message("statsu"), "Unknown command \"statsu\"; did you mean status?");
    }

    #[test]
    fn each_hint_names_commands_that_exist_and_no_command_is_a_word_of_others() {
        for (words, hint) in ELSEWHERE {
            for after in hint.split("dormouse ").skip(1) {
                let command = after.split([' ', ';', ',']).next().unwrap();
                let is_command = COMMANDS.iter().any(|(name, _)| *name == command);
                assert!(is_command || ["now", "itself"].contains(&command), "{command}");
            }
            assert!(words.iter().all(|word| !COMMANDS.iter().any(|(name, _)| name == word)), "{words:?}");
        }
    }

    #[test]
    fn the_proxy_is_named_only_where_it_fits() {
        for word in
            ["127.0.0.1:80", "localhost:http", "/run/web.sock", "@abstract", "--connections-max=5", "-c5"]
        {
            assert!(message(word).ends_with(&format!("write dormouse proxy {word}")), "{}", message(word));
        }
        for word in ["", "nonsense", "statsu", "stop", "--verbose", "nginx.service", "/etc/web.toml"] {
            assert!(!message(word).contains("dormouse proxy"), "{}", message(word));
        }
    }
}
