//! The keys of a service: how a session gets one of several servers.

use dormouse_core::pool::Balance;

use crate::defaults;
use crate::keys::{COUNT, Key, SPAN, SWITCH, TABLE, TEXT, key};

pub(super) const KEYS: &[Key] = &[
    Key {
        default: "\"first\" with workloads, otherwise \"roundrobin\"",
        manual: Balance::MANUAL,
        ..key("balance", Balance::CHOICES, "\"leastconn\"")
    },
    Key {
        manual: "With balance = \"first\" and several workloads: the number of sessions of each running server \
                 from which the next workload is started.",
        ..key("soft", COUNT, "20")
    },
    Key {
        default: "false",
        manual: "Check the health of the servers: true, or a table with some of the keys below. A check connects \
                 to the server, and with send or expect exchanges data. A server that is down gets no sessions; \
                 while all servers are down, clients are held. A workload that does not run is not checked. A \
                 UNIX socket is checked at once when it is removed or created.",
        ..key("check", "true, false or a table", "{ inter = \"2s\", rise = 2, fall = 3 }")
    },
    Key {
        default: "\"2s\"",
        manual: "The time between two checks. A session that fails to connect causes a check at once.",
        ..key("check.inter", SPAN, "\"2s\"")
    },
    Key {
        default: "as inter",
        manual: "The time between two checks while a server is about to change its state.",
        ..key("check.fastinter", SPAN, "\"500ms\"")
    },
    Key {
        default: "as inter",
        manual: "The time between two checks while a server is down. While clients wait and no other server is \
                 up, it is 50 ms.",
        ..key("check.downinter", SPAN, "\"5s\"")
    },
    Key {
        default: "2",
        manual: "The number of successful checks in a row after which a server is up.",
        ..key("check.rise", COUNT, "2")
    },
    Key {
        default: "3",
        manual: "The number of failed checks in a row after which a server is down.",
        ..key("check.fall", COUNT, "3")
    },
    Key {
        default: "as inter",
        manual: "The longest time that a check may take. A UNIX socket with a full backlog counts as busy, not \
                 as failed.",
        ..key("check.timeout", SPAN, "\"1s\"")
    },
    Key {
        default: "\"\"",
        manual: "The text to send to the server after the connection is established.",
        ..key("check.send", TEXT, "\"PING\\r\\n\"")
    },
    Key {
        manual: "The text that the answer of the server must contain.",
        ..key("check.expect", TEXT, "\"+PONG\"")
    },
    Key {
        default: "\"up\"",
        manual: "The state before the first check, and after maintenance: up (until one check fails), fully-up \
                 (until fall checks fail), down (until one check succeeds) or fully-down (until rise checks \
                 succeed).",
        ..key("check.init", "\"up\", \"fully-up\", \"down\" or \"fully-down\"", "\"down\"")
    },
    Key {
        default: "true with a workload, otherwise false",
        manual: "Do not check a server while sessions connect to it.",
        ..key("check.passive", SWITCH, "true")
    },
    Key {
        default: "none",
        manual: "Count sessions that fail to connect to the server (layer4).",
        ..key("check.observe", "\"layer4\"", "\"layer4\"")
    },
    Key {
        default: defaults::ERROR_LIMIT.text,
        manual: "With observe: the number of failures in a row that counts as an error.",
        ..key("check.error_limit", COUNT, "10")
    },
    Key {
        default: "\"fail-check\"",
        manual: "With observe, the effect of an error: do the next check after fastinter (fastinter); also count \
                 a failed check (fail-check); also take the server down at one more failed check (sudden-death); \
                 take the server down (mark-down).",
        ..key(
            "check.on_error",
            "\"fastinter\", \"fail-check\", \"sudden-death\" or \"mark-down\"",
            "\"mark-down\"",
        )
    },
    Key {
        default: "the sessions go on",
        manual: "When a server goes down, reset its sessions (shutdown-sessions).",
        ..key("check.on_marked_down", "\"shutdown-sessions\"", "\"shutdown-sessions\"")
    },
    Key {
        default: defaults::FAIL_OPEN.text,
        manual: "While all servers are down, try to connect to all of them.",
        ..key("check.fail_open", SWITCH, "true")
    },
    Key {
        default: "\"0\"",
        manual: "The time in which the weight of a server grows to its full value after the server comes back \
                 up.",
        ..key("check.slowstart", SPAN, "\"30s\"")
    },
    Key {
        manual: "The treatment of clients that wait because each server has as many sessions as its maxconn \
                 allows. They are served in the order of their arrival.",
        ..key("queue", TABLE, "{ timeout = \"30s\", max = 1024 }")
    },
    Key {
        default: defaults::QUEUE_TIMEOUT.text,
        manual: "The longest time that a client waits; infinity has no limit.",
        ..key("queue.timeout", SPAN, "\"30s\"")
    },
    Key {
        default: "as hold.max",
        manual: "The largest number of clients that wait, also while all servers are down. hold.overflow applies \
                 to further clients.",
        ..key("queue.max", COUNT, "1024")
    },
    Key {
        default: defaults::RETRIES.text,
        manual: "How often to try again a server that did not accept a connection, 1 s apart. After that the client \
                 is held. Applies with several servers, or if the server has weight, maxconn or check.",
        ..key("retries", "a number from 0 to 1000", "3")
    },
    Key {
        default: defaults::REDISPATCH.text,
        manual: "Try another server at the last retry; with roundrobin and random at each retry, without a \
                 delay.",
        ..key("redispatch", SWITCH, "false")
    },
];
