//! The capabilities that a configuration needs after the start. All others are given up; the spawner keeps its own.

use dormouse_config::model::{Config, Listen, PeerCredentials};
use dormouse_sys::capabilities;
use rustix::thread::CapabilitySet;

/// What no key decides: files of other users in the directories that Landlock allows and sockets of other users, as a file's
/// permissions let root do it; ports below 1024, which a reload may bring; pipes beyond the limit of an ordinary user.
const ALWAYS: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_RESOURCE);

/// A capability that some configurations need.
struct Need {
    capability: CapabilitySet,
    name: &'static str,
    /// Whether a configuration needs it.
    is_needed: fn(&Config) -> bool,
}

/// Which setting needs which capability. `CAP_CHOWN` is not among them: the spawner sets the owners of sockets. Neither are
/// `CAP_KILL`, `CAP_SETUID` and `CAP_SETGID` for programs of other users, which guards end and the spawner starts.
const NEEDS: [Need; 5] = [
    // To replace and remove sockets that have another owner, in a directory with the sticky bit.
    Need { capability: CapabilitySet::FOWNER, name: "CAP_FOWNER", is_needed: has_owners },
    // Before Linux 5.7, to bind a socket to an interface.
    Need { capability: CapabilitySet::NET_RAW, name: "CAP_NET_RAW", is_needed: has_interfaces },
    // To connect with the credentials of a client, and to send messages with other ones than those of dormouse.
    Need { capability: CapabilitySet::SETUID, name: "CAP_SETUID", is_needed: has_other_credentials },
    Need { capability: CapabilitySet::SETGID, name: "CAP_SETGID", is_needed: has_other_credentials },
    // To send messages with the process ID of the sender.
    Need { capability: CapabilitySet::SYS_ADMIN, name: "CAP_SYS_ADMIN", is_needed: passes_credentials },
];

/// Returns the capabilities that a configuration needs.
pub(super) fn needed(config: &Config) -> CapabilitySet {
    let needed = NEEDS.iter().filter(|need| (need.is_needed)(config));
    needed.fold(ALWAYS, |all, need| all | need.capability)
}

/// Returns the name of a capability that was given up and is needed.
pub(super) fn missing(needed: CapabilitySet, granted: CapabilitySet) -> Option<&'static str> {
    // What the process did not have at the start is no matter of a restart.
    let missing = (needed & capabilities::before()).difference(granted);
    NEEDS.iter().find(|need| missing.contains(need.capability)).map(|need| need.name)
}

fn listeners(config: &Config) -> impl Iterator<Item = Listen> {
    let of_services = config.services.iter().flat_map(|service| service.listen.iter().cloned());
    of_services.chain(config.admin.control.listen())
}

fn has_owners(config: &Config) -> bool {
    listeners(config)
        .any(|listen| matches!(listen, Listen::Open { options, .. } if options.file.owner.is_some()))
}

fn has_interfaces(config: &Config) -> bool {
    listeners(config)
        .any(|listen| matches!(listen, Listen::Open { options, .. } if options.tcp.interface.is_some()))
}

/// A reload may bring the first UNIX socket, so that those of a service do not matter.
fn has_other_credentials(config: &Config) -> bool {
    config.services.iter().any(|service| service.peer_credentials != PeerCredentials::Own)
}

fn passes_credentials(config: &Config) -> bool {
    config.services.iter().any(|service| service.peer_credentials == PeerCredentials::Pass)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dormouse_config::{Environment, read, single};

    use super::*;

    /// Returns what a configuration needs besides what each needs.
    fn beyond(listen: &str, to: &str, rest: &str) -> CapabilitySet {
        let text = format!("[services.web]\nlisten = '{listen}'\nto = '{to}'\n{rest}\n");
        let config = read(&[single(Path::new("d.toml"), &text)], Environment::SYSTEM).result.unwrap();
        needed(&config).difference(ALWAYS)
    }

    #[test]
    fn each_setting_keeps_its_capabilities_and_no_others() {
        let (none, users) = (CapabilitySet::empty(), CapabilitySet::SETUID | CapabilitySet::SETGID);
        let (tcp, server, own) = ("127.0.0.1:80", "127.0.0.1:1", "peer_credentials = 'own'");
        for (listen, to, rest, expected) in [
            (tcp, server, own, none),
            (tcp, server, &format!("{own}\nwake = {{ exec = 'a', user = 'root' }}"), none),
            ("127.0.0.1:80?interface=lo", server, own, CapabilitySet::NET_RAW),
            ("/run/a/s", "@b", own, none),
            ("/run/a/s?owner=root", server, own, CapabilitySet::FOWNER),
            (tcp, server, "", users),
            ("@a", "@b", "peer_credentials = 'pass'", users | CapabilitySet::SYS_ADMIN),
        ] {
            assert_eq!(beyond(listen, to, rest), expected, "{listen} {to} {rest}");
        }
    }

    #[test]
    fn what_was_given_up_has_a_name() {
        let had = capabilities::before();
        let missing = missing(ALWAYS | CapabilitySet::FOWNER, ALWAYS);
        assert_eq!(missing, had.contains(CapabilitySet::FOWNER).then_some("CAP_FOWNER"));
    }
}
