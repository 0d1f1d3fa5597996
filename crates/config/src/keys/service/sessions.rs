//! The keys of a service: sessions: limits, PROXY headers and timeouts.

use crate::defaults;
use crate::keys::{COUNT, Key, SPAN, SWITCH, TABLE, flagged, key};

pub(super) const KEYS: &[Key] = &[
    Key {
        default: defaults::REPLAY.text,
        manual: "During a start, try a connection again that ends before the first byte of the server, and send \
                 again what the client has sent (up to 64 KiB). Disable it for protocols where a repetition does \
                 harm.",
        ..flagged("replay", "--no-replay", SWITCH, "false")
    },
    Key {
        default: defaults::MAXCONN.text,
        manual: "The largest number of sessions at once, over all listeners of the service.",
        ..flagged("maxconn", "--maxconn", COUNT, "4096")
    },
    Key {
        default: defaults::AT_LIMIT.text,
        manual: "The treatment of further clients: they stay in the backlog of the listener (queue), or are \
                 refused (refuse).",
        ..flagged("at_limit", "--at-limit", "\"queue\" or \"refuse\"", "\"queue\"")
    },
    Key {
        default: "none",
        manual: "The addresses of the load balancers and proxies that send a PROXY protocol header (version 1 or \
                 2) with the address of the real client. Local clients may send one, too; all others are plain \
                 clients. true: every client must send one; then every client can claim any address. The address \
                 in the header applies to the log, to wake.allow and to proxy_protocol.",
        ..flagged(
            "accept_proxy",
            "--accept-proxy",
            "true or a list of addresses",
            "[\"10.0.0.0/8\", \"::1\"]",
        )
    },
    Key {
        default: "none",
        manual: "Send the server a PROXY protocol header of this version with the address of the client. A table \
                 adds further fields, in version 2.",
        ..flagged("proxy_protocol", "--proxy-protocol", "\"v1\", \"v2\" or a table", "\"v2\"")
    },
    Key {
        default: "\"v2\"",
        manual: "The version of the header.",
        ..key("proxy_protocol.version", "\"v1\" or \"v2\"", "\"v2\"")
    },
    Key {
        default: "false",
        manual: "Add a unique identifier of the session (PP2_TYPE_UNIQUE_ID), which is also logged. An \
                 identifier in an accepted header does not pass.",
        ..key("proxy_protocol.unique_id", SWITCH, "true")
    },
    Key {
        default: "false",
        manual: "Add the user, the group and the process of a client of a UNIX socket: TLVs of the types 0xE0, \
                 0xE1 and 0xE2, each a number of 4 bytes in network order.",
        ..key("proxy_protocol.credentials", SWITCH, "true")
    },
    Key {
        default: "true",
        manual: "Add the TLVs of an accepted header, of the types that a sender may state; see PROXY HEADERS \
                 below.",
        ..key("proxy_protocol.pass", SWITCH, "false")
    },
    Key {
        default: defaults::PEER_CREDENTIALS.text,
        manual: "The user and the groups that a server on a UNIX socket sees (SO_PEERCRED). own: those of \
                 dormouse, for every client. pass: those of the client; all listeners and servers of the service \
                 must be UNIX sockets, and dormouse needs CAP_SETUID and CAP_SETGID. Write own only where the server \
                 does not decide by them; it silences the warning. See CREDENTIALS below.",
        ..flagged("peer_credentials", "--peer-credentials", "\"own\" or \"pass\"", "\"pass\"")
    },
    Key {
        manual: "The timeouts of a session; 0 and infinity disable one. client, server, tunnel and the two _fin \
                 have the meaning of HAProxy's for TCP.",
        ..key("timeout", TABLE, "{ connect = \"5s\", half_close = \"60s\" }")
    },
    Key {
        default: defaults::CONNECT_TIMEOUT.text,
        manual: "The longest time to wait for an answer of an address of the server.",
        ..flagged("timeout.connect", "--connect-timeout", SPAN, "\"5s\"")
    },
    Key {
        default: defaults::UNLIMITED.text,
        manual: "Close sessions without traffic in both directions for this time.",
        ..flagged("timeout.idle", "--idle-timeout", SPAN, "\"1h\"")
    },
    Key {
        default: defaults::HALF_CLOSE_TIMEOUT.text,
        manual: "Close sessions in which one side has ended its stream and the other is inactive for this time.",
        ..flagged("timeout.half_close", "--half-close-timeout", SPAN, "\"60s\"")
    },
    Key {
        default: defaults::UNLIMITED.text,
        manual: "Close sessions whose client is inactive for this time: it neither sends nor receives data when \
                 it should.",
        ..flagged("timeout.client", "--client-timeout", SPAN, "\"1h\"")
    },
    Key {
        default: defaults::UNLIMITED.text,
        manual: "Close sessions whose server is inactive for this time.",
        ..flagged("timeout.server", "--server-timeout", SPAN, "\"1h\"")
    },
    Key {
        default: defaults::UNLIMITED.text,
        manual: "Close sessions without traffic for this time. Replaces timeout.client and timeout.server.",
        ..flagged("timeout.tunnel", "--tunnel-timeout", SPAN, "\"1h\"")
    },
    Key {
        default: "timeout.half_close",
        manual: "Close sessions whose server has ended its stream and whose client is inactive for this time. \
                 Replaces the timeouts above.",
        ..key("timeout.client_fin", SPAN, "\"30s\"")
    },
    Key {
        default: "timeout.half_close",
        manual: "Close sessions whose client has ended its stream and whose server is inactive for this time. \
                 Replaces the timeouts above.",
        ..key("timeout.server_fin", SPAN, "\"30s\"")
    },
    Key {
        default: defaults::UNLIMITED.text,
        manual: "Reset sessions after this time, even with traffic. It counts from the connection of the client.",
        ..flagged("timeout.session", "--session-timeout", SPAN, "\"8h\"")
    },
    Key {
        default: defaults::PROXY_HEADER_TIMEOUT.text,
        manual: "The longest time to wait for the header of accept_proxy.",
        ..key("timeout.proxy_header", SPAN, "\"5s\"")
    },
];
