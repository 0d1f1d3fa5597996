//! What stands at the top of a file, in the order of the manual.

use super::{Key, SPAN, TEXT, flagged, key};

/// What stands at the top of a file.
pub const TOP: &[Key] = &[
    Key {
        default: "\"info\"",
        manual: "What is logged: err, warning, notice, info or debug. debug logs a line for each session. Without it \
                 SYSTEMD_LOG_LEVEL= counts.",
        ..flagged("log_level", "--log-level", TEXT, "\"info\"")
    },
    Key {
        default: "\"0\" at the end of dormouse, infinity after a reload",
        manual: "On SIGTERM or SIGINT stop accepting and let open sessions go on for this long. A second \
                 signal ends them at once. When a reload has changed or removed a service, its old sessions also go on \
                 for this long.",
        ..flagged("drain_timeout", "--drain-timeout", SPAN, "\"30s\"")
    },
    Key {
        default: "\"text\"",
        manual: "What lines of the log look like. text: in words, a session's only with log_level = \"debug\". tcplog: a \
                 line for each session as HAProxy writes it with option tcplog, with the two letters of its end; all else \
                 in words. json: each line an object, also a session's.",
        ..flagged("log", "--log", "\"text\", \"tcplog\" or \"json\"", "\"tcplog\"")
    },
    Key {
        default: "control.sock in RUNTIME_DIRECTORY=, if the service manager sets it",
        manual: "The UNIX socket where commands are taken: those of HAProxy's stats socket, so that its tools work, and \
                 those of dormouse-status(8). Its mode is 0600 unless ?mode= says otherwise. none: no socket.",
        ..flagged("control", "--control", TEXT, "\"unix:/run/dormouse/control.sock?mode=0600\"")
    },
    Key {
        default: "none",
        manual: "The address of a web server for looking: a page that shows services live, /metrics for Prometheus, \
                 /status.json, /healthz and /readyz. Whoever reaches it may look; nothing can be changed there. none: \
                 nowhere.",
        ..flagged("http", "--http", TEXT, "\"127.0.0.1:9180\"")
    },
    Key {
        manual: "The services, each a table with a name of its own: letters, digits, '-', '_' and '.'.",
        ..key(
            "services",
            "a table for each service",
            "{ web = { listen = \"127.0.0.1:80\", to = \"127.0.0.1:8080\" } }",
        )
    },
];
