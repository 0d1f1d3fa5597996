//! The keys of a service: when a workload is ready, and how long it stays awake.

use crate::defaults;
use crate::keys::{COMMAND, COUNT, Key, SPAN, TABLE, TEXT, TEXTS, flagged, key};

pub(super) const KEYS: &[Key] = &[
    Key {
        default: defaults::READY.text,
        manual: "When a started workload counts as ready: connect (it accepts a connection), notify (the start \
                 job of the unit is done, or the program of exec has sent READY=1 as in sd_notify(3)), healthy \
                 (the health check of the container passes), file:PATH, command:COMMAND or expect:TEXT; or a \
                 table with one of the keys below.",
        ..flagged("ready", "--ready", "a string or a table", "\"connect\"")
    },
    Key {
        manual: "The workload is ready when this file exists.",
        ..key("ready.file", "an absolute path", "\"/run/web/ready\"")
    },
    Key {
        manual: "The workload is ready when this command exits with status 0.",
        ..key("ready.command", COMMAND, "\"pg_isready -q\"")
    },
    Key {
        manual: "The workload is ready when it sends data that contains this text.",
        ..key("ready.expect", TEXT, "\"+PONG\"")
    },
    Key {
        default: "\"\"",
        manual: "The text that dormouse sends first.",
        ..key("ready.send", TEXT, "\"PING\\r\\n\"")
    },
    Key { manual: "The same as settle of the service.", ..key("ready.settle", SPAN, "\"500ms\"") },
    Key {
        default: defaults::SETTLE.text,
        manual: "How long the workload must have been ready before clients are forwarded.",
        ..flagged("settle", "--settle", SPAN, "\"500ms\"")
    },
    Key {
        manual: "The treatment of clients that wait until the server answers.",
        ..key("hold", TABLE, "{ timeout = \"30s\", max = 1024 }")
    },
    Key {
        default: defaults::HOLD_TIMEOUT.text,
        manual: "The longest time that a client waits. 0 turns it away at once; infinity has no limit.",
        ..flagged("hold.timeout", "--hold", SPAN, "\"30s\"")
    },
    Key {
        default: defaults::HOLD_MAX.text,
        manual: "The largest number of clients that wait.",
        ..flagged("hold.max", "--hold-max", COUNT, "1024")
    },
    Key {
        default: defaults::HOLD_OVERFLOW.text,
        manual: "The treatment of further clients: they are refused (refuse), or stay in the backlog of the \
                 listener (queue).",
        ..flagged("hold.overflow", "--overflow", "\"refuse\" or \"queue\"", "\"queue\"")
    },
    Key {
        manual: "When an unused workload is frozen or stopped. A time span alone is idle.stop.",
        ..key("idle", "a time span or a table", "\"10min\"")
    },
    Key {
        default: defaults::IDLE_STOP.text,
        manual: "Stop the workload after this time without a session; 0: at once; infinity: never.",
        ..flagged("idle.stop", "--idle", SPAN, "\"5min\"")
    },
    Key {
        default: defaults::UNLIMITED.text,
        manual: "Freeze the workload after this time without a session. It keeps its memory and is thawed at \
                 once for the next client. 0: at once; infinity: never.",
        ..flagged("idle.freeze", "--freeze", SPAN, "\"1min\"")
    },
    Key {
        default: defaults::UNLIMITED.text,
        manual: "Do not count a session as use after this time without traffic.",
        ..flagged("idle.quiet", "--quiet", SPAN, "\"15min\"")
    },
    Key {
        default: defaults::MINIMUM_UPTIME.text,
        manual: "Keep a started workload running at least this long, unless an administrator stops it. A shorter \
                 idle.stop or idle.freeze makes the default as short as the shorter of them.",
        ..flagged("idle.minimum_uptime", "--minimum-uptime", SPAN, "\"60s\"")
    },
    Key {
        manual: "The times at which the workload is kept running, used or not, in local time: [DAYS] \
                 HH:MM-HH:MM, for example \"Sat,Sun 10:00-12:00\" or, every day and over midnight, \"22:00-06:00\".",
        ..flagged("idle.keep_warm", "--keep-warm", TEXTS, "[\"Mon-Fri 08:00-18:00\"]")
    },
    Key {
        manual: "The name of a group of services of which only one runs at a time: to start one, dormouse stops \
                 the others once they are idle.",
        ..key("exclusive", TEXT, "\"gpu\"")
    },
];
