//! One definition of each flag, from which the parser, the help and the manual are made.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;

use dormouse_core::getopt::{Arg, Getopt, OptSpec, Tier};

use super::out;

/// A flag of `dormouse proxy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flag {
    Help,
    Version,
    ConnectionsMax,
    ExitIdleTime,
    ProxyProtocol,
    AtLimit,
    ConnectTimeout,
    DrainTimeout,
    HalfCloseTimeout,
    IdleTimeout,
    Listen,
    LogLevel,
    Wait,
}

/// All that is to be said of a flag.
pub(crate) struct Definition<F = Flag> {
    /// What it stands for in its command.
    pub(crate) flag: F,
    pub(crate) spec: OptSpec,
    /// What stands for its argument.
    pub(crate) value: &'static str,
    /// Lines of help.
    pub(crate) help: &'static [&'static str],
    /// What the manual says.
    pub(crate) manual: &'static str,
}

impl<F> Definition<F> {
    /// The words that its argument is one of, if it is. What is in capitals stands for something else.
    pub(crate) fn choices(&self) -> impl Iterator<Item = &'static str> {
        let word = |word: &&str| self.value.contains('|') && !word.contains(|c: char| c.is_ascii_uppercase());
        self.value.split('|').filter(word)
    }
}

/// The flag of every command that asks for help.
pub(super) const fn for_help<F: Copy>(flag: F) -> Definition<F> {
    Definition {
        flag,
        spec: OptSpec { short: Some('h'), long: "help", arg: Arg::No, tier: Tier::Extension },
        value: "",
        help: &["Show this help"],
        manual: "Show a short help.",
    }
}

/// The flag that says where the control socket is.
pub(super) const fn for_control<F: Copy>(flag: F) -> Definition<F> {
    Definition {
        flag,
        spec: OptSpec { short: None, long: "control", arg: Arg::Required, tier: Tier::Extension },
        value: "PATH",
        help: &[
            "Where the control socket is (/run/dormouse/control.sock, or",
            "in $XDG_RUNTIME_DIR/dormouse)",
        ],
        manual: "Where the control socket is: /run/dormouse/control.sock unless told, or \
                 $XDG_RUNTIME_DIR/dormouse/control.sock if there is none.",
    }
}

/// Why a command does not begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Help is all that was wanted.
    Help,
    /// The command line is wrong.
    Wrong(String),
}

impl Stop {
    /// Gives the help, or tells what is wrong.
    pub(super) fn tell(self, help: &str) -> ExitCode {
        match self {
            Self::Help => out::print(help),
            Self::Wrong(what) => out::fail(what),
        }
    }
}

/// Reads the words of a command: `take` gets each flag with its argument. Gives the words that belong to none.
///
/// # Errors
/// What `take` says, or an unknown flag.
pub(super) fn read<F: Copy>(
    command: &str,
    definitions: &[Definition<F>],
    args: impl Iterator<Item = OsString>,
    mut take: impl FnMut(F, OsString) -> Result<(), Stop>,
) -> Result<Vec<OsString>, Stop> {
    let specs: Vec<OptSpec> = definitions.iter().map(|definition| definition.spec).collect();
    let mut getopt = Getopt::new(command, &specs, args);
    for option in getopt.by_ref() {
        let option = option.map_err(|error| Stop::Wrong(error.to_string()))?;
        if let Some(definition) = definitions.get(option.index) {
            take(definition.flag, option.value.unwrap_or_default())?;
        }
    }
    Ok(getopt.positionals())
}

/// An option of the original.
const fn original(flag: Flag, short: Option<char>, long: &'static str, value: &'static str) -> Definition {
    let arg = if value.is_empty() { Arg::No } else { Arg::Required };
    Definition {
        flag,
        spec: OptSpec { short, long, arg, tier: Tier::Original },
        value,
        help: &[],
        manual: "",
    }
}

/// An option of ours.
const fn ours(flag: Flag, long: &'static str, value: &'static str) -> Definition {
    let spec = OptSpec { short: None, long, arg: Arg::Required, tier: Tier::Extension };
    Definition { flag, spec, value, help: &[], manual: "" }
}

/// The flags of `dormouse proxy`, the original's first.
pub(crate) const PROXY: &[Definition] = &[
    Definition {
        help: &["Serve at most so many connections at once (256)"],
        manual: "The most connections that are served at once, 256 unless told. Further ones meet --at-limit=. The soft \
                 limit on descriptors is raised to what this needs.",
        ..original(Flag::ConnectionsMax, Some('c'), "connections-max", "N")
    },
    Definition {
        help: &["Exit after so long without a connection (infinity)"],
        manual: "Exit when there was no connection for so long, from the start on. With 0 exit right after the last \
                 connection. Together with StopWhenUnneeded= in the service behind, both stop when nobody needs them. \
                 Whoever connects meanwhile waits in the service manager's socket.",
        ..original(Flag::ExitIdleTime, None, "exit-idle-time", "SPAN")
    },
    Definition {
        help: &["Tell the target the client's address by a PROXY header"],
        manual: "Send a PROXY protocol header with the client's address before its bytes. A client that version 1 has no \
                 form for (a UNIX socket's) is sent as UNKNOWN; version 2 knows UNIX sockets.",
        ..original(Flag::ProxyProtocol, None, "proxy-protocol", "v1|v2")
    },
    Definition {
        help: &["Hold a client for so long while the target is not there", "(30s; 0 turns it away at once)"],
        manual: "While the target refuses, is missing, is unreachable or has a full backlog, hold the client for so long \
                 and pass it on the moment the target answers: a UNIX socket's appearance is watched, everything else is \
                 tried again after 1 ms growing to 50 ms. A permission that is missing is waited for for 2 s. This \
                 covers a target that starts and one that restarts. A client that leaves with nothing to deliver is \
                 dropped at once. 0 turns clients away at once.",
        ..ours(Flag::Wait, "wait", "SPAN")
    },
    Definition {
        help: &["At the limit turn clients away (refuse) or leave them in", "the backlog (queue)"],
        manual: "What happens to a client beyond --connections-max=: refuse accepts and closes it, queue leaves it in \
                 the socket's backlog until a connection ends.",
        ..ours(Flag::AtLimit, "at-limit", "refuse|queue")
    },
    Definition {
        help: &["Give up on an address after so long (5s)"],
        manual: "How long one address of the target may take to answer. A name's addresses are tried in the resolver's \
                 order, each with a head start of 250 ms over the next.",
        ..ours(Flag::ConnectTimeout, "connect-timeout", "SPAN")
    },
    Definition {
        help: &["End a session that moved no byte for so long (infinity)"],
        manual: "End a session in which neither side sent a byte for so long.",
        ..ours(Flag::IdleTimeout, "idle-timeout", "SPAN")
    },
    Definition {
        help: &["End a session of which one side has ended and the other", "moved no byte for so long (60s)"],
        manual: "End a session of which one side has ended its stream while the other moved no byte for so long.",
        ..ours(Flag::HalfCloseTimeout, "half-close-timeout", "SPAN")
    },
    Definition {
        help: &["On SIGTERM let open sessions go on for so long (0)"],
        manual: "On SIGTERM or SIGINT stop accepting and let open sessions go on for so long. A second signal ends them \
                 at once.",
        ..ours(Flag::DrainTimeout, "drain-timeout", "SPAN")
    },
    Definition {
        help: &[
            "Listen here when the service manager passes no socket:",
            "HOST:PORT, *:PORT, /path, @abstract, vsock:CID:PORT;",
            "may be given several times",
        ],
        manual: "Listen on this address when no socket is passed in: HOST:PORT, *:PORT for all addresses, /path, \
                 @abstract or vsock:CID:PORT. Port 0 lets the kernel choose; the choice is logged. May be given several \
                 times.",
        ..ours(Flag::Listen, "listen", "ADDRESS")
    },
    Definition {
        help: &["What is logged (info); debug: a line for each session"],
        manual: "Log lines up to this level; info unless told. Without the option SYSTEMD_LOG_LEVEL= \
                 counts. debug logs a line for each session: who, how long held, how many bytes, why it ended.",
        ..ours(Flag::LogLevel, "log-level", "err|warning|notice|info|debug")
    },
    Definition {
        spec: OptSpec { tier: Tier::Original, ..for_help(Flag::Help).spec },
        ..for_help(Flag::Help)
    },
    Definition {
        help: &["Show the version"],
        manual: "Show the version.",
        ..original(Flag::Version, None, "version", "")
    },
];

/// The flags' help, a block each, as `--help` shows it.
pub(crate) fn help<F>(definitions: &[Definition<F>]) -> String {
    const COLUMN: usize = 33;
    let mut text = String::new();
    for Definition { spec, value, help, .. } in definitions {
        let short = spec.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
        let equals = if value.is_empty() { "" } else { "=" };
        let flag = format!("  {short}--{}{equals}", spec.long);
        // What does not fit is named after the flag: --log-level=LEVEL.
        let left = if flag.len() + value.len() <= COLUMN {
            format!("{flag}{value}")
        } else {
            format!("{flag}{}", spec.long.rsplit('-').next().unwrap_or_default().to_ascii_uppercase())
        };
        for (row, line) in help.iter().enumerate() {
            let left = if row == 0 { left.as_str() } else { "" };
            // A String takes whatever is written to it.
            let _ = writeln!(text, "{left:COLUMN$} {line}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_flag_are_told_where_they_fit_and_those_in_capitals_are_none() {
        let take = |long, value| Definition { help: &["Help"], ..ours(Flag::LogLevel, long, value) };
        let flags = [
            take("log", "text|tcplog|json"),
            take("log-level", "err|warning|notice|info|debug"),
            take("accept-proxy", "CIDR|all"),
            take("listen", "ADDRESS"),
        ];
        let help = help(&flags);
        let told: Vec<_> = help.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(
            told,
            ["--log=text|tcplog|json", "--log-level=LEVEL", "--accept-proxy=CIDR|all", "--listen=ADDRESS"]
        );
        let choices: Vec<Vec<_>> = flags.iter().map(|flag| flag.choices().collect()).collect();
        assert_eq!(choices.iter().map(Vec::len).collect::<Vec<_>>(), [3, 5, 1, 0]);
        assert_eq!(choices.get(2).and_then(|words| words.first()), Some(&"all"));
    }

    #[test]
    fn every_flag_has_help_that_fits_a_terminal() {
        for line in help(PROXY).lines() {
            assert!(line.len() <= 100, "{line}");
        }
        assert!(PROXY.iter().all(|definition| !definition.help.is_empty() && !definition.manual.is_empty()));
    }
}
