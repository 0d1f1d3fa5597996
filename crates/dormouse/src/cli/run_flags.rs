//! The flags of `dormouse run`: most stand for a configuration key of one service.

use dormouse_config::keys::{self, Key};
use dormouse_core::getopt::{Arg, OptSpec, Tier};

use super::flags::Definition;

/// The meaning of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunFlag {
    Help,
    /// The configuration file.
    Config,
    /// The name of the service.
    Name,
    /// A key at the top of a file.
    General(&'static str),
    /// A key at the top of a file, which may be given several times.
    RepeatedGeneral(&'static str),
    /// A switch at the top of a file, with this value.
    GeneralSwitch(&'static str, bool),
    /// A key of the service.
    Key(&'static str),
    /// A key of the service, which may be given several times.
    Repeated(&'static str),
    /// A key of the service, with this value.
    Word(&'static str, &'static str),
    /// A switch of the service, with this value.
    Switch(&'static str, bool),
}

impl RunFlag {
    /// Returns the definition of the key that the flag stands for.
    pub(crate) fn key(self) -> Option<&'static Key> {
        match self {
            Self::General(path)
            | Self::RepeatedGeneral(path)
            | Self::GeneralSwitch(path, _)
            | Self::Key(path)
            | Self::Repeated(path)
            | Self::Switch(path, _)
            | Self::Word(path, _) => keys::find(path),
            Self::Help | Self::Config | Self::Name => None,
        }
    }
}

/// The sentence of the manual for flags that may be repeated.
const SEVERAL: &str = "May be given several times";

impl Definition<RunFlag> {
    /// Returns the text for the manual: that of the flag, or else that of its key, with the default.
    pub(crate) fn description(&self) -> String {
        let text = match self.flag.key() {
            Some(key) if self.manual.is_empty() => key.manual,
            _ => self.manual,
        };
        let several = match self.flag {
            RunFlag::Repeated(_) | RunFlag::RepeatedGeneral(_) if !text.contains(SEVERAL) => {
                format!(" {SEVERAL}.")
            }
            _ => String::new(),
        };
        match self.default() {
            Some(default) => format!("{text}{several} [default: {default}]"),
            None => format!("{text}{several}"),
        }
    }

    /// Returns the value that applies without the flag, if the key has one.
    pub(crate) fn default(&self) -> Option<String> {
        match self.flag {
            RunFlag::Switch(..) | RunFlag::GeneralSwitch(..) => Some("off".to_owned()),
            // The texts of these contain it.
            RunFlag::Word(..) | RunFlag::Help | RunFlag::Config | RunFlag::Name => None,
            RunFlag::General(_) | RunFlag::RepeatedGeneral(_) | RunFlag::Key(_) | RunFlag::Repeated(_) => {
                let default = self.flag.key()?.default.replace('"', "");
                Some(default).filter(|default| !default.is_empty())
            }
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
        manual: "Read the services from this file alone; services.d is then not read. See dormouse.toml(5). Together with a file only --log-level=, --log=, --control=, --http=, --http-host=, --drain-timeout= and --no-restrict-self are allowed, and override the file. [default: /etc/dormouse/dormouse.toml and services.d/*.toml beside it]",
        ..flag(
            RunFlag::Config,
            "config",
            "FILE",
            &[
                "Read the services from this file alone [default: /etc/dormouse/dormouse.toml and services.d/*.toml beside it]",
            ],
        )
    },
    Definition {
        manual: "The name of the service in the log and on the control socket. [default: main]",
        ..flag(RunFlag::Name, "name", "NAME", &["Set the name of the service in the log [default: main]"])
    },
    flag(
        RunFlag::Repeated("listen"),
        "listen",
        "ADDRESS",
        &[
            "Listen on HOST:PORT, *:PORT, /path, unix:/path?mode=0660, @abstract, vsock:CID:PORT, or fd:NAME for sockets of a socket unit; may be given several times",
        ],
    ),
    Definition {
        manual: "The server that clients are forwarded to: HOST:PORT, /PATH or unix:/PATH, @ABSTRACT or vsock:CID:PORT. May be given several times where nothing is started on demand.",
        ..flag(
            RunFlag::Repeated("to"),
            "to",
            "ADDRESS",
            &["Forward clients to this server: HOST:PORT, /path, @abstract, vsock:CID:PORT"],
        )
    },
    Definition {
        manual: "A program, which dormouse starts and stops as a process group. COMMAND is split as by a shell, but no shell runs.",
        ..key("wake.exec", "exec", "COMMAND", &["Start this program on demand"])
    },
    Definition {
        manual: "The user that the program of --exec runs as: a name or a number. It gets the groups of the user, and HOME, LOGNAME, SHELL and USER. Requires root, or CAP_SETUID, CAP_SETGID and CAP_KILL, unless it is dormouse's own user; without them dormouse does not start. --uid=root states that the program needs root.",
        ..key("wake.user", "uid", "USER", &["Run the program of --exec as this user, with its groups"])
    },
    Definition {
        manual: "The group that the program of --exec runs as, in place of the user's own: a name or a number.",
        ..key("wake.group", "gid", "GROUP", &["Run the program of --exec as this group"])
    },
    key("wake.sandbox", "sandbox", "none|strict", &["Confine the program of --exec, with a user of its own"]),
    key("wake.directory", "directory", "PATH", &["Run the program of --exec in this directory"]),
    Definition {
        manual: "The name of a systemd unit; .service is added to a name without a suffix. A unit that dormouse did not start is used, but not stopped unless --stop-foreign is given.",
        ..key("wake.unit", "unit", "NAME", &["Start this systemd unit on demand"])
    },
    Definition {
        manual: "Look for the unit of --unit in the user's service manager. This is the default unless dormouse runs as root. The user of a program is set by --uid=.",
        ..flag(
            RunFlag::Word("wake.manager", "user"),
            "user",
            "",
            &["Look for the unit in the user's service manager [default: unless root]"],
        )
    },
    Definition {
        manual: "Look for the unit of --unit in the system's service manager. This is the default if dormouse runs as root.",
        ..flag(
            RunFlag::Word("wake.manager", "system"),
            "system",
            "",
            &["Look for the unit in the system's service manager [default: as root]"],
        )
    },
    key("wake.container", "container", "NAME", &["Start this container of Podman or Docker on demand"]),
    key("wake.engine", "engine", "PATH", &["Set the API socket of the container engine"]),
    key("wake.start", "start-command", "COMMAND", &["Start the workload by this command"]),
    key("wake.stop", "stop-command", "COMMAND", &["Stop by this command what --start-command started"]),
    key("wake.freeze", "freeze-command", "COMMAND", &["Freeze the workload by this command"]),
    key("wake.thaw", "thaw-command", "COMMAND", &["Thaw the workload by this command"]),
    key(
        "wake.status",
        "status-command",
        "COMMAND",
        &["Ask by this command whether the workload runs (exit status 0)"],
    ),
    key("wake.wol", "wol", "MAC", &["Wake the machine with this hardware address by a Wake-on-LAN packet"]),
    Definition {
        manual: "When a started workload counts as ready: connect (it accepts a connection), notify (the start job of the unit is done, or the program of --exec has sent READY=1 as in sd_notify(3)), healthy (the health check of the container passes), file:PATH (this file exists), command:COMMAND (this command exits with status 0) or expect:TEXT (the workload sends data that contains this text).",
        ..key(
            "ready",
            "ready",
            "connect|notify|healthy|file:PATH|command:COMMAND|expect:TEXT",
            &[
                "Decide when a started workload is ready: connect, notify, healthy, file:PATH, command:COMMAND or expect:TEXT",
            ],
        )
    },
    key("settle", "settle", "SPAN", &["Forward clients only after the workload has been ready this long"]),
    key("idle.stop", "idle", "SPAN", &["Stop the workload after this long without a session"]),
    key("idle.freeze", "freeze", "SPAN", &["Freeze the workload after this long without a session"]),
    key("idle.quiet", "quiet", "SPAN", &["Ignore sessions without traffic for this long"]),
    key(
        "idle.minimum_uptime",
        "minimum-uptime",
        "SPAN",
        &["Keep a started workload running at least this long"],
    ),
    flag(
        RunFlag::Repeated("idle.keep_warm"),
        "keep-warm",
        "WINDOW",
        &["Keep the workload awake at these times (\"Mon-Fri 08:00-18:00\"); may be given several times"],
    ),
    key(
        "hold.timeout",
        "hold",
        "SPAN",
        &["Hold a client for at most this long while the workload starts; 0 turns it away at once"],
    ),
    key("hold.max", "hold-max", "N", &["Hold at most this many clients"]),
    key(
        "hold.overflow",
        "overflow",
        "refuse|queue",
        &["Beyond --hold-max turn clients away (refuse) or leave them in the backlog (queue)"],
    ),
    key(
        "wake.on",
        "wake-on",
        "connect|data",
        &["Start the workload on a connection, or on the first byte of a client"],
    ),
    flag(
        RunFlag::Repeated("wake.allow"),
        "wake-allow",
        "CIDR",
        &["Let only clients from this range start the workload; may be given several times"],
    ),
    key(
        "wake.foreign_listener",
        "foreign-listener",
        "refuse|allow",
        &["Send clients to a listener that does not belong to the workload (allow), or not"],
    ),
    key("wake.start_timeout", "start-timeout", "SPAN", &["Give up on a start that takes longer than this"]),
    key("wake.stop_timeout", "stop-timeout", "SPAN", &["Kill the workload if a stop takes longer than this"]),
    flag(
        RunFlag::Switch("wake.stop_foreign", true),
        "stop-foreign",
        "",
        &["Also freeze and stop what dormouse did not start"],
    ),
    Definition {
        manual: "During a start do not try a connection again that ends before the first byte of the server, and do not send the bytes of the client again. Use it for protocols where a repetition does harm.",
        ..flag(
            RunFlag::Switch("replay", false),
            "no-replay",
            "",
            &[
                "Do not send the first bytes of a client again when a connection ends without an answer during a start",
            ],
        )
    },
    key("maxconn", "maxconn", "N", &["Serve at most this many sessions at once"]),
    key(
        "at_limit",
        "at-limit",
        "refuse|queue",
        &["Beyond --maxconn turn clients away (refuse) or leave them in the backlog (queue)"],
    ),
    Definition {
        manual: "Accept a PROXY protocol header, which names the real client, from clients in this range and from local ones; all others are plain clients. May be given several times. all: every client must send one; then every client can claim any address.",
        ..flag(
            RunFlag::Repeated("accept_proxy"),
            "accept-proxy",
            "CIDR|all",
            &["Accept PROXY headers from clients in this range; may be given several times"],
        )
    },
    Definition {
        manual: "Send the server a PROXY protocol header of this version with the address of the client.",
        ..key(
            "proxy_protocol",
            "proxy-protocol",
            "v1|v2",
            &["Send the server a PROXY header with the address of the client"],
        )
    },
    key(
        "peer_credentials",
        "peer-credentials",
        "own|pass",
        &[
            "Let a server on a UNIX socket see dormouse's user (own), or that of a client on a UNIX socket (pass)",
        ],
    ),
    key(
        "timeout.connect",
        "connect-timeout",
        "SPAN",
        &["Give up on an address of the server after this long"],
    ),
    key("timeout.idle", "idle-timeout", "SPAN", &["Close sessions without traffic for this long"]),
    key(
        "timeout.half_close",
        "half-close-timeout",
        "SPAN",
        &["Close sessions of which one side has ended and the other sent nothing for this long"],
    ),
    key(
        "timeout.client",
        "client-timeout",
        "SPAN",
        &["Close sessions whose client is inactive for this long"],
    ),
    key(
        "timeout.server",
        "server-timeout",
        "SPAN",
        &["Close sessions whose server is inactive for this long"],
    ),
    Definition {
        manual: "Close sessions without traffic for this time. Replaces --client-timeout and --server-timeout.",
        ..key(
            "timeout.tunnel",
            "tunnel-timeout",
            "SPAN",
            &["In place of both: close sessions without traffic for this long"],
        )
    },
    key("timeout.session", "session-timeout", "SPAN", &["Close sessions after this long, even with traffic"]),
    flag(
        RunFlag::General("drain_timeout"),
        "drain-timeout",
        "SPAN",
        &["On SIGTERM let open sessions go on for this long"],
    ),
    Definition {
        manual: "Do not restrict dormouse itself to the directories and programs of the configuration (Landlock) and to the system calls that it needs (seccomp).",
        ..flag(
            RunFlag::GeneralSwitch("restrict_self", false),
            "no-restrict-self",
            "",
            &["Do not restrict the directories and the system calls of dormouse"],
        )
    },
    flag(
        RunFlag::General("log_level"),
        "log-level",
        "err|warning|notice|info|debug",
        &["Log lines up to this level; debug logs a line for each session"],
    ),
    flag(
        RunFlag::General("log"),
        "log",
        "text|tcplog|json",
        &["Set the format of the log; tcplog and json log a line for each session"],
    ),
    flag(
        RunFlag::General("control"),
        "control",
        "PATH",
        &["Take commands on this UNIX socket; none disables it"],
    ),
    flag(
        RunFlag::General("http"),
        "http",
        "ADDRESS",
        &["Serve a status page and metrics on this address, such as 127.0.0.1:9180; none disables it"],
    ),
    flag(
        RunFlag::RepeatedGeneral("http_hosts"),
        "http-host",
        "NAME",
        &["Answer at --http also to requests for this host; may be given several times"],
    ),
    super::flags::for_help(RunFlag::Help),
];

/// Earlier spellings of flags, which are still accepted, and the flags that they stand for.
pub(crate) const ALIASES: &[(&str, &str)] = &[
    ("start", "start-command"),
    ("stop", "stop-command"),
    ("thaw", "thaw-command"),
    ("status", "status-command"),
];

/// Returns the specifications of all flags, those of the aliases last.
pub(crate) fn specs() -> Vec<OptSpec> {
    let alias = |(long, _): &(&'static str, _)| OptSpec {
        short: None,
        long,
        arg: Arg::Required,
        tier: Tier::Extension,
    };
    RUN.iter().map(|definition| definition.spec).chain(ALIASES.iter().map(alias)).collect()
}

/// Returns the flag with this place in [`specs`]; for an alias the flag that it stands for.
pub(crate) fn by_index(index: usize) -> Option<&'static Definition<RunFlag>> {
    RUN.get(index).or_else(|| {
        let (_, long) = ALIASES.get(index.checked_sub(RUN.len())?)?;
        RUN.iter().find(|definition| definition.spec.long == *long)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags;

    #[test]
    fn flags_and_keys_refer_to_each_other() {
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
    fn the_manual_says_which_flags_may_be_repeated() {
        for definition in RUN {
            let repeated = matches!(definition.flag, RunFlag::Repeated(_) | RunFlag::RepeatedGeneral(_));
            assert_eq!(definition.description().contains(SEVERAL), repeated, "{}", definition.spec.long);
        }
    }

    #[test]
    fn the_manual_names_flags_and_not_keys() {
        for definition in RUN {
            let text = definition.description();
            for of_files in ["timeout.client", "timeout.server", "stop_foreign", " table", "A string is"] {
                assert!(!text.contains(of_files), "{}: {text}", definition.spec.long);
            }
        }
    }

    #[test]
    fn aliases_stand_for_flags() {
        for index in RUN.len()..specs().len() {
            assert!(by_index(index).is_some_and(|definition| definition.spec.long.ends_with("-command")));
        }
        assert!(by_index(specs().len()).is_none());
    }

    #[test]
    fn the_help_fits_a_terminal() {
        for line in flags::help_with(RUN, Definition::default).lines() {
            assert!(line.len() <= 100, "{line}");
        }
    }
}
