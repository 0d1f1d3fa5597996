//! The keys at the top of a file, in the order of the manual.

use super::{Key, SPAN, SWITCH, TEXT, TEXTS, flagged, key};
use crate::defaults;

/// The keys at the top of a file, in the order of the manual.
pub const TOP: &[Key] = &[
    Key {
        default: "\"info\"",
        manual: "The highest level to log: err, warning, notice, info or debug. debug logs a line for each \
                 session. Without it SYSTEMD_LOG_LEVEL= applies.",
        ..flagged("log_level", "--log-level", TEXT, "\"info\"")
    },
    Key {
        default: "\"0\" at the end of dormouse, \"infinity\" after a reload",
        manual: "On SIGTERM or SIGINT, stop accepting and let open sessions go on for this time. A second signal \
                 ends them at once. When a reload changes or removes a service, its old sessions go on for this \
                 time, too.",
        ..flagged("drain_timeout", "--drain-timeout", SPAN, "\"30s\"")
    },
    Key {
        default: defaults::RESTRICT_SELF.text,
        manual: "Before serving, restrict the process of dormouse as far as the kernel supports it: to the directories of the \
                 configuration (Landlock) and without system calls that it never makes (seccomp), and write no core \
                 dumps. What dormouse starts is not restricted. A reload that needs another directory, for a UNIX \
                 socket, or brings another program, command or user, or another owner or group of a UNIX socket, or \
                 needs another capability, is refused until a restart. Capabilities that are not needed are given up. Changes at a restart.",
        ..flagged("restrict_self", "--no-restrict-self", SWITCH, "false")
    },
    Key {
        default: "\"text\"",
        manual: "The format of the log. text: sentences, with a line for each session only if log_level = \
                 \"debug\". tcplog: a line for each session as HAProxy's option tcplog writes it, with the two \
                 letters of its termination state; sentences for the rest. json: an object a line, also for each \
                 session.",
        ..flagged("log", "--log", "\"text\", \"tcplog\" or \"json\"", "\"tcplog\"")
    },
    Key {
        default: "control.sock in RUNTIME_DIRECTORY=, if the service manager sets it",
        manual: "The UNIX socket for commands: those of HAProxy's stats socket, so that its tools work, and \
                 those of dormouse-status(8). Its mode is 0600 unless ?mode= sets another. none: no socket.",
        ..flagged("control", "--control", TEXT, "\"unix:/run/dormouse/control.sock?mode=0600\"")
    },
    Key {
        default: "none",
        manual: "The address of a web server for monitoring: a page with the live state of the services, \
                 /metrics for Prometheus, /status.json, /healthz and /readyz. It is read-only and asks for no \
                 password. none: no web server.",
        ..flagged("http", "--http", TEXT, "\"127.0.0.1:9180\"")
    },
    Key {
        manual: "The names and addresses by which clients may ask for the page, besides localhost and the address \
                 itself: those in the Host header. Requests for other hosts get the status 421, because a web site \
                 could let its own name resolve to this address, and would read the page in the browser of its \
                 visitor.",
        ..flagged("http_hosts", "--http-host", TEXTS, "[\"status.example.org\"]")
    },
    Key {
        manual: "The services, each a table with a unique name: letters, digits, '-', '_' and '.'.",
        ..key(
            "services",
            "a table for each service",
            "{ web = { listen = \"127.0.0.1:80\", to = \"127.0.0.1:8080\" } }",
        )
    },
];
