//! The flags of `dormouse proxy`.

use dormouse_core::getopt::{Arg, OptSpec, Tier};

use super::flags::{Definition, for_help};

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

/// Returns the definition of an option of systemd-socket-proxyd.
const fn original(
    flag: Flag,
    short: Option<char>,
    long: &'static str,
    value: &'static str,
) -> Definition<Flag> {
    let arg = if value.is_empty() { Arg::No } else { Arg::Required };
    Definition {
        flag,
        spec: OptSpec { short, long, arg, tier: Tier::Original },
        value,
        help: &[],
        manual: "",
    }
}

/// Returns the definition of an option that only dormouse has.
const fn ours(flag: Flag, long: &'static str, value: &'static str) -> Definition<Flag> {
    let spec = OptSpec { short: None, long, arg: Arg::Required, tier: Tier::Extension };
    Definition { flag, spec, value, help: &[], manual: "" }
}

/// The flags of `dormouse proxy`, those of systemd-socket-proxyd first.
pub(crate) const PROXY: &[Definition<Flag>] = &[
    Definition {
        help: &["Serve at most this many connections at once [default: 256]"],
        manual: "Serve at most this many connections at once. Further ones are handled as --at-limit= says. The soft limit on descriptors is raised to what this needs. [default: 256]",
        ..original(Flag::ConnectionsMax, Some('c'), "connections-max", "N")
    },
    Definition {
        help: &["Exit after this long without a connection [default: infinity]"],
        manual: "Exit after this long without a connection, counted from the start. 0 exits right after the last connection. Together with StopWhenUnneeded= in the target service, both stop when no client needs them. Clients that connect meanwhile wait in the socket of the service manager. [default: infinity]",
        ..original(Flag::ExitIdleTime, None, "exit-idle-time", "SPAN")
    },
    Definition {
        help: &["Send the target a PROXY header with the address of the client [default: none]"],
        manual: "Send a PROXY protocol header with the address of the client before its bytes. Version 1 sends UNKNOWN for clients of a UNIX socket; version 2 has a form for UNIX sockets. [default: none]",
        ..original(Flag::ProxyProtocol, None, "proxy-protocol", "v1|v2")
    },
    Definition {
        help: &[
            "Hold a client for at most this long while the target does not answer; 0 turns it away at once [default: 30s]",
        ],
        manual: "While the target refuses, is missing, is unreachable or has a full backlog, hold the client for at most this long and forward it as soon as the target answers. The appearance of a UNIX socket is watched; all other targets are tried again after 1 ms growing to 50 ms. If permission is missing, the client is held for 2 s only. This covers a target that starts and one that restarts. A client that closes its connection without having sent data is dropped at once. 0 turns clients away at once. [default: 30s]",
        ..ours(Flag::Wait, "wait", "SPAN")
    },
    Definition {
        help: &[
            "Beyond --connections-max turn clients away (refuse) or leave them in the backlog (queue) [default: refuse]",
        ],
        manual: "How a client beyond --connections-max= is handled: refuse accepts and closes it, queue leaves it in the backlog of the socket until a connection ends. [default: refuse]",
        ..ours(Flag::AtLimit, "at-limit", "refuse|queue")
    },
    Definition {
        help: &["Give up on an address of the target after this long [default: 5s]"],
        manual: "Give up on an address of the target after this long. The addresses of a name are tried in the order of the resolver, each with a head start of 250 ms over the next. [default: 5s]",
        ..ours(Flag::ConnectTimeout, "connect-timeout", "SPAN")
    },
    Definition {
        help: &["Close sessions without traffic for this long [default: infinity]"],
        manual: "Close sessions in which neither side sent a byte for this long. [default: infinity]",
        ..ours(Flag::IdleTimeout, "idle-timeout", "SPAN")
    },
    Definition {
        help: &[
            "Close sessions of which one side has ended and the other sent nothing for this long [default: 60s]",
        ],
        manual: "Close sessions of which one side has ended its stream while the other moved no byte for this long. [default: 60s]",
        ..ours(Flag::HalfCloseTimeout, "half-close-timeout", "SPAN")
    },
    Definition {
        help: &["On SIGTERM let open sessions go on for this long [default: 0]"],
        manual: "On SIGTERM or SIGINT stop accepting and let open sessions go on for this long. A second signal ends them at once. [default: 0]",
        ..ours(Flag::DrainTimeout, "drain-timeout", "SPAN")
    },
    Definition {
        help: &[
            "Listen on this address if the service manager passes no socket: HOST:PORT, *:PORT, /path, @abstract, vsock:CID:PORT; may be given several times",
        ],
        manual: "Listen on this address if the service manager passes no socket: HOST:PORT, *:PORT for all addresses, /path, @abstract or vsock:CID:PORT. For port 0 the kernel chooses a port, which is logged. May be given several times.",
        ..ours(Flag::Listen, "listen", "ADDRESS")
    },
    Definition {
        help: &["Log lines up to this level; debug logs a line for each session [default: info]"],
        manual: "Log lines up to this level. debug logs a line for each session: the client, how long it was held, how many bytes were moved, and why it ended. [default: that of SYSTEMD_LOG_LEVEL=, or else info]",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags::help;

    #[test]
    fn every_flag_has_help_that_fits_a_terminal() {
        for line in help(PROXY).lines() {
            assert!(line.len() <= 100, "{line}");
        }
        assert!(PROXY.iter().all(|definition| !definition.help.is_empty() && !definition.manual.is_empty()));
    }
}
