//! The flags of `dormouse run`: other names for keys of one service, and a few of their own.

use dormouse_config::keys::{self, Key};
use dormouse_core::getopt::{Arg, OptSpec, Tier};

use super::flags::Definition;

/// What a flag says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunFlag {
    Help,
    /// The file to be read.
    Config,
    /// The service's name.
    Name,
    /// A key at the top of a file.
    General(&'static str),
    /// A key of the service.
    Key(&'static str),
    /// A key of the service that may be said several times.
    Repeated(&'static str),
    /// A key of the service, and its word.
    Word(&'static str, &'static str),
    /// A key of the service that is switched.
    Switch(&'static str, bool),
}

impl RunFlag {
    /// The definition of the key that it stands for.
    pub(crate) fn key(self) -> Option<&'static Key> {
        match self {
            Self::General(name) => keys::TOP.iter().find(|key| key.path == name),
            Self::Key(path) | Self::Repeated(path) | Self::Switch(path, _) | Self::Word(path, _) => {
                keys::find(path)
            }
            Self::Help | Self::Config | Self::Name => None,
        }
    }
}

impl Definition<RunFlag> {
    /// What the manual says: of itself, or what it says of the key.
    pub(crate) fn description(&self) -> &'static str {
        match self.flag.key() {
            Some(key) if self.manual.is_empty() => key.manual,
            _ => self.manual,
        }
    }
}

const fn flag(
    flag: RunFlag,
    long: &'static str,
    value: &'static str,
    help: &'static [&'static str],
) -> Definition<RunFlag> {
    let arg = if value.is_empty() { Arg::No } else { Arg::Required };
    Definition {
        flag,
        spec: OptSpec { short: None, long, arg, tier: Tier::Extension },
        value,
        help,
        manual: "",
    }
}

/// A flag that stands for a key.
const fn key(
    path: &'static str,
    long: &'static str,
    value: &'static str,
    help: &'static [&'static str],
) -> Definition<RunFlag> {
    flag(RunFlag::Key(path), long, value, help)
}

/// The flags of `dormouse run`.
pub(crate) const RUN: &[Definition<RunFlag>] = &[
    Definition {
        manual: "Read the services from this file, /etc/dormouse/dormouse.toml and services.d/*.toml beside it unless \
                 told. See dormouse.toml(5). Beside it only --log-level=, --log=, --control=, --http= and \
                 --drain-timeout= are taken, and count more than what the file says.",
        ..flag(
            RunFlag::Config,
            "config",
            "FILE",
            &["Read the services from this file", "(/etc/dormouse/dormouse.toml)"],
        )
    },
    Definition {
        manual: "The service's name in the log, main unless told.",
        ..flag(RunFlag::Name, "name", "NAME", &["Call the service so in the log (main)"])
    },
    flag(
        RunFlag::Repeated("listen"),
        "listen",
        "ADDRESS",
        &[
            "Listen here: HOST:PORT, *:PORT, /path, unix:/path?mode=0660,",
            "@abstract, vsock:CID:PORT, fd:NAME for passed sockets; may be",
            "given several times",
        ],
    ),
    Definition {
        manual: "Where clients go: HOST:PORT, /PATH or unix:/PATH, @ABSTRACT or vsock:CID:PORT. May be given several \
                 times where nothing is woken.",
        ..flag(
            RunFlag::Repeated("to"),
            "to",
            "ADDRESS",
            &["Pass clients on to this server: HOST:PORT, /path, @abstract,", "vsock:CID:PORT"],
        )
    },
    key("wake.exec", "exec", "COMMAND", &["Wake it by starting this program"]),
    key("wake.unit", "unit", "NAME", &["Wake it by starting this systemd unit"]),
    Definition {
        manual: "The unit is the user's service manager's. Unless told, it is when dormouse does not run as root.",
        ..flag(
            RunFlag::Word("wake.manager", "user"),
            "user",
            "",
            &["The unit is one of the user's service manager"],
        )
    },
    Definition {
        manual: "The unit is the system's service manager's. Unless told, it is when dormouse runs as root.",
        ..flag(
            RunFlag::Word("wake.manager", "system"),
            "system",
            "",
            &["The unit is one of the system's service manager"],
        )
    },
    key("wake.container", "container", "NAME", &["Wake it by starting this container of Podman or Docker"]),
    key("wake.engine", "engine", "PATH", &["The container engine's API socket"]),
    key("wake.start", "start", "COMMAND", &["Wake it by this command"]),
    key("wake.stop", "stop", "COMMAND", &["Stop by this command what --start started"]),
    key("wake.freeze", "freeze-command", "COMMAND", &["Freeze it by this command"]),
    key("wake.thaw", "thaw", "COMMAND", &["Thaw it by this command"]),
    key("wake.status", "status", "COMMAND", &["Ends with 0 while it runs"]),
    key("wake.wol", "wol", "MAC", &["Wake it by a Wake-on-LAN packet to this hardware address"]),
    key(
        "ready",
        "ready",
        "KIND",
        &["When it is ready: connect, notify, healthy, file:PATH,", "command:COMMAND, expect:TEXT (connect)"],
    ),
    key("settle", "settle", "SPAN", &["How long it must have been ready (0)"]),
    key("idle.stop", "idle", "SPAN", &["Stop it after so long without a session (5min)"]),
    key("idle.freeze", "freeze", "SPAN", &["Freeze it after so long without a session (infinity)"]),
    key(
        "idle.quiet",
        "quiet",
        "SPAN",
        &["A session that moved no byte for so long does not count", "(infinity)"],
    ),
    key("idle.minimum_uptime", "minimum-uptime", "SPAN", &["Let it run for so long at least (60s)"]),
    flag(
        RunFlag::Repeated("idle.keep_warm"),
        "keep-warm",
        "WINDOW",
        &["Keep it awake at these times (\"Mon-Fri 08:00-18:00\"); may be", "given several times"],
    ),
    key(
        "hold.timeout",
        "hold",
        "SPAN",
        &["Hold a client for so long while it starts (30s; 0 turns it", "away at once)"],
    ),
    key("hold.max", "hold-max", "N", &["Hold so many clients at most (1024)"]),
    key(
        "hold.overflow",
        "overflow",
        "refuse|queue",
        &["Turn the next one away (refuse), or leave it in the backlog"],
    ),
    key(
        "wake.on",
        "wake-on",
        "connect|data",
        &["Wake on a connection, or on a client's first byte (connect)"],
    ),
    flag(
        RunFlag::Repeated("wake.allow"),
        "wake-allow",
        "CIDR",
        &["Let only clients from this range wake it; may be given", "several times"],
    ),
    key("wake.start_timeout", "start-timeout", "SPAN", &["Let a start take so long at most (120s)"]),
    key("wake.stop_timeout", "stop-timeout", "SPAN", &["Enforce a stop after so long (10s)"]),
    flag(
        RunFlag::Switch("wake.stop_foreign", true),
        "stop-foreign",
        "",
        &["Stop also what somebody else has started"],
    ),
    Definition {
        manual: "Do not try a connection again that ends before the server's first byte while it starts, and do not send \
                 again what the client said: for protocols in which that does harm.",
        ..flag(
            RunFlag::Switch("replay", false),
            "no-replay",
            "",
            &[
                "Do not send again what a client said when a connection ends",
                "without an answer during a start",
            ],
        )
    },
    key("maxconn", "maxconn", "N", &["Serve at most so many sessions at once (4096)"]),
    key(
        "at_limit",
        "at-limit",
        "refuse|queue",
        &["At the limit turn clients away (refuse) or leave them in", "the backlog (queue)"],
    ),
    Definition {
        manual: "Take a PROXY protocol header that says who the client really is from clients of this range, and from \
                 local ones; the others are plain clients. May be given several times. all: everybody begins with one; \
                 then whoever can reach the listener can claim any address.",
        ..flag(
            RunFlag::Repeated("accept_proxy"),
            "accept-proxy",
            "CIDR|all",
            &["Take PROXY headers from clients of this range; may be given", "several times"],
        )
    },
    key(
        "proxy_protocol",
        "proxy-protocol",
        "v1|v2",
        &["Tell the server the client's address by a PROXY header"],
    ),
    key("timeout.connect", "connect-timeout", "SPAN", &["Give up on an address after so long (5s)"]),
    key("timeout.idle", "idle-timeout", "SPAN", &["End a session that moved no byte for so long (infinity)"]),
    key(
        "timeout.half_close",
        "half-close-timeout",
        "SPAN",
        &["End a session of which one side has ended and the other", "moved no byte for so long (60s)"],
    ),
    key(
        "timeout.client",
        "client-timeout",
        "SPAN",
        &["End a session in which the client is waited for for so long", "(infinity)"],
    ),
    key(
        "timeout.server",
        "server-timeout",
        "SPAN",
        &["End a session in which the server is waited for for so long", "(infinity)"],
    ),
    key(
        "timeout.tunnel",
        "tunnel-timeout",
        "SPAN",
        &["In the place of both: end a session that moved no byte for so", "long (infinity)"],
    ),
    key(
        "timeout.session",
        "session-timeout",
        "SPAN",
        &["End a session after so long, whatever moves (infinity)"],
    ),
    flag(
        RunFlag::General("drain_timeout"),
        "drain-timeout",
        "SPAN",
        &["On SIGTERM let open sessions go on for so long (0)"],
    ),
    flag(
        RunFlag::General("log_level"),
        "log-level",
        "err|warning|notice|info|debug",
        &["What is logged (info); debug: a line for each session"],
    ),
    flag(
        RunFlag::General("log"),
        "log",
        "text|tcplog|json",
        &["What lines of the log look like (text); tcplog and json:", "a line for each session"],
    ),
    flag(
        RunFlag::General("control"),
        "control",
        "PATH",
        &["Take commands at this UNIX socket; none: nowhere"],
    ),
    flag(
        RunFlag::General("http"),
        "http",
        "ADDRESS",
        &["Show a page and metrics at this address, such as", "127.0.0.1:9180; none: nowhere"],
    ),
    super::flags::for_help(RunFlag::Help),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags;

    #[test]
    fn flags_and_keys_know_each_other() {
        for definition in RUN {
            assert!(
                !definition.description().is_empty() && !definition.help.is_empty(),
                "{}",
                definition.spec.long
            );
            if matches!(definition.flag, RunFlag::Help | RunFlag::Config | RunFlag::Name | RunFlag::Word(..))
            {
                continue;
            }
            let key = definition.flag.key().unwrap_or_else(|| panic!("{:?}", definition.flag));
            assert_eq!(key.flag, Some(format!("--{}", definition.spec.long).as_str()));
        }
        for key in keys::TOP.iter().chain(keys::SERVICE) {
            let Some(flag) = key.flag else { continue };
            assert!(RUN.iter().any(|definition| format!("--{}", definition.spec.long) == flag), "{flag}");
        }
    }

    #[test]
    fn the_help_fits_a_terminal() {
        for line in flags::help(RUN).lines() {
            assert!(line.len() <= 100, "{line}");
        }
    }
}
