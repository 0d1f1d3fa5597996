//! The keys of a service: where a service listens, and its servers.

use crate::defaults;
use crate::keys::{COUNT, Key, SWITCH, TABLE, TEXT, TEXTS, flagged, key};

pub(super) const KEYS: &[Key] = &[
    Key {
        manual: "The addresses that the service listens on. HOST:PORT (an IP address or localhost); *:PORT or \
                 [::]:PORT for all addresses (only IPv4 where the machine has no IPv6); /PATH or unix:/PATH; \
                 @ABSTRACT; vsock:CID:PORT; fd:NAME for the sockets that the service manager passes under this \
                 name (FileDescriptorName= of the socket unit). With port 0 the kernel chooses the port, which \
                 is logged. The directory of a path must not be writable for every user, unless it has the sticky \
                 bit, because others could replace the socket; the owner of the directory can do that, too. \
                 Options follow a question mark: /run/dormouse/web.sock?mode=0660&group=www-data. For a path: \
                 mode, owner and group of the file. For TCP: v6only ([::] does not take IPv4), freebind (the \
                 address may be missing), interface=NAME (only clients of this network interface), \
                 defer_accept=SPAN (accept a client at its first byte, or after about SPAN; only for protocols \
                 in which the client sends first), fastopen=N (clients may send data with their first packet, at \
                 most N at once; needs 2 in net.ipv4.tcp_fastopen). For a path, TCP and vsock: backlog=N (at \
                 most N clients wait to be accepted).",
        ..flagged("listen", "--listen", TEXTS, "\"127.0.0.1:8080\"")
    },
    Key {
        manual: "The address of the server: HOST:PORT, /PATH or unix:/PATH, @ABSTRACT or vsock:CID:PORT. \
                 dns:NAME:PORT stands for all addresses of a name, and srv:NAME for the servers in its SRV \
                 records, with their ports and weights; those without the lowest priority number are backup servers. Up to 32 \
                 such servers exist at a time, and change with the answers of the DNS; the sessions of a removed \
                 server go on until they end. A list means several servers without a workload; servers with \
                 workloads are written as [[services.NAME.servers]].",
        ..flagged("to", "--to", TEXTS, "\"127.0.0.1:9000\"")
    },
    Key {
        manual: "In place of to, a table for each server: its name, its address (to) and its workload (wake).",
        ..key("servers", "a list of tables", "[{ name = \"a\", to = \"127.0.0.1:9000\" }]")
    },
    Key {
        default: "those of /etc/resolv.conf",
        manual: "The DNS servers that are asked for dns:NAME:PORT and srv:NAME, in this order. They are asked \
                 again when the TTL of an answer ends, at least every 10 s. An answer stays valid while no DNS \
                 server answers; an answer without servers takes effect after 30 s.",
        ..key("dns", TEXTS, "\"127.0.0.1:53\"")
    },
    Key {
        default: "server1, server2 and so on",
        manual: "The name of the server in the log, unique in its service.",
        ..key("servers.name", TEXT, "\"a\"")
    },
    Key {
        manual: "The address of the server, as for a service.",
        ..key("servers.to", TEXT, "\"127.0.0.1:9000\"")
    },
    Key {
        manual: "The workload of the server, as for a service. on, allow, stop_foreign, foreign_listener and the \
                 timeouts are set in the wake table of the service.",
        ..key("servers.wake", TABLE, "{ unit = \"nginx.service\" }")
    },
    Key {
        default: defaults::SERVER_WEIGHT.text,
        manual: "The share of the sessions that the server gets, from 0 (none) to 256.",
        ..key("servers.weight", "a number from 0 to 256", "10")
    },
    Key {
        default: defaults::SERVER_BACKUP.text,
        manual: "Use the server only while no other server is up. Of several backup servers the first that is up \
                 serves alone.",
        ..key("servers.backup", SWITCH, "true")
    },
    Key {
        default: "no limit",
        manual: "The largest number of sessions of the server at once. Further clients wait in the queue.",
        ..key("servers.maxconn", COUNT, "100")
    },
    Key {
        default: defaults::SERVER_DISABLED.text,
        manual: "Start with the server in maintenance: it gets no sessions and is not checked.",
        ..key("servers.disabled", SWITCH, "true")
    },
    Key {
        default: "as the check of the service",
        manual: "Check the health of this server.",
        ..key("servers.check", SWITCH, "true")
    },
];
