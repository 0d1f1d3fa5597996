//! The keys of a service, in the order of the manual.

use dormouse_core::pool::Balance;

use crate::defaults;

use super::{COMMAND, COUNT, Key, SPAN, SWITCH, TABLE, TEXT, TEXTS, flagged, key};

/// The keys of a service and of its tables, in the order of the manual.
pub const SERVICE: &[Key] = &[
    Key {
        manual: "The addresses that the service listens on. HOST:PORT (an IP address or localhost); *:PORT or \
                 [::]:PORT for all addresses (only IPv4 where the machine has no IPv6); /PATH or unix:/PATH; \
                 @ABSTRACT; vsock:CID:PORT; fd:NAME for the sockets that the service manager passes under this \
                 name (FileDescriptorName= of the socket unit). With port 0 the kernel chooses the port, which \
                 is logged. The directory of a path must not be writable for every user, unless it has the sticky \
                 bit, because others could replace the socket; the owner of the directory can do that, too. \
                 Options follow a question mark: /run/web.sock?mode=0660&group=www-data. For a path: \
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
    Key {
        manual: "The workload of the service, which dormouse starts and stops: one of unit, container, exec, \
                 start and wol, with the keys that belong to it. Without it the service forwards to a server \
                 that is always running.",
        ..key("wake", TABLE, "{ unit = \"nginx.service\" }")
    },
    Key {
        manual: "The name of a systemd unit; .service is added to a name without a suffix. A unit that dormouse \
                 did not start is used, but not stopped unless stop_foreign is set.",
        ..flagged("wake.unit", "--unit", TEXT, "\"nginx.service\"")
    },
    Key {
        default: "\"user\" for a user with a runtime directory, otherwise and for root \"system\"",
        manual: "The service manager of the unit: the system's or the user's.",
        ..key("wake.manager", "\"system\" or \"user\"", "\"system\"")
    },
    Key {
        manual: "The name or id of a container of Podman or Docker. A container that belongs to a Quadlet is \
                 started through its unit.",
        ..flagged("wake.container", "--container", TEXT, "\"httpd\"")
    },
    Key {
        default: "the first that exists in the usual places",
        manual: "The path of the API socket of the container engine.",
        ..flagged("wake.engine", "--engine", "an absolute path", "\"/run/podman/podman.sock\"")
    },
    Key {
        manual: "A program, which dormouse starts and stops with all its descendants. A string is split as by a \
                 shell, but no shell runs. Of its output and its STATUS= messages 10000 lines and 4 MiB are logged \
                 in 30 s; the rest is discarded and counted.",
        ..flagged("wake.exec", "--exec", COMMAND, "\"python3 -m http.server --bind 127.0.0.1 9000\"")
    },
    Key {
        manual: "Variables to add to the environment of the program of exec. It gets the environment of dormouse \
                 without what concerns dormouse alone, such as CREDENTIALS_DIRECTORY.",
        ..key("wake.environment", "a table of strings", "{ PORT = \"9000\" }")
    },
    Key {
        default: "the user of dormouse, with a warning if that is root",
        manual: "The user that the program of exec runs as: a name or a number. It gets the groups of the user, \
                 and HOME, LOGNAME, SHELL and USER. Requires root, or CAP_SETUID, CAP_SETGID and CAP_KILL, unless \
                 it is dormouse's own user. root states that the program needs root.",
        ..flagged("wake.user", "--uid", TEXT, "\"www-data\"")
    },
    Key {
        default: "the group of the user",
        manual: "The group that the program of exec runs as, in place of the user's own: a name or a number.",
        ..flagged("wake.group", "--gid", TEXT, "\"www-data\"")
    },
    Key {
        default: "the working directory of dormouse (/ under the example unit)",
        manual: "The working directory of the program of exec. It must exist.",
        ..key("wake.directory", "an absolute path", "\"/srv/web\"")
    },
    Key {
        manual: "A command that starts the workload and then exits, with status 0 on success.",
        ..flagged("wake.start", "--start-command", COMMAND, "\"virsh start web\"")
    },
    Key {
        manual: "The command that stops the workload. Without it dormouse does not stop the workload.",
        ..flagged("wake.stop", "--stop-command", COMMAND, "\"virsh shutdown web\"")
    },
    Key {
        manual: "The command that freezes the workload.",
        ..flagged("wake.freeze", "--freeze-command", COMMAND, "\"virsh suspend web\"")
    },
    Key {
        manual: "The command that thaws the workload.",
        ..flagged("wake.thaw", "--thaw-command", COMMAND, "\"virsh resume web\"")
    },
    Key {
        manual: "A command that exits with status 0 while the workload runs, and with another status while it \
                 does not.",
        ..flagged("wake.status", "--status-command", COMMAND, "\"virsh-is-running web\"")
    },
    Key {
        manual: "The hardware address of a machine to wake with a Wake-on-LAN packet. dormouse does not stop the \
                 machine.",
        ..flagged("wake.wol", "--wol", "a hardware address", "\"aa:bb:cc:dd:ee:ff\"")
    },
    Key {
        default: "\"255.255.255.255:9\"",
        manual: "The address that the Wake-on-LAN packet is sent to.",
        ..key("wake.broadcast", "an IP address with or without a port", "\"192.168.1.255:9\"")
    },
    Key {
        default: defaults::WAKE_ON.text,
        manual: "The event that starts the workload: a connection (connect), or the first byte of a client \
                 (data). With data, a port scanner does not start it. Do not use data where the server sends \
                 first.",
        ..flagged("wake.on", "--wake-on", "\"connect\" or \"data\"", "\"data\"")
    },
    Key {
        default: "all addresses",
        manual: "The addresses of the clients that may start the workload. Other clients are served only while \
                 it runs. Clients of a UNIX socket of the service are always allowed, unless a PROXY header \
                 contains their address.",
        ..flagged("wake.allow", "--wake-allow", TEXTS, "[\"10.0.0.0/8\", \"::1\"]")
    },
    Key {
        default: defaults::STOP_FOREIGN.text,
        manual: "Also freeze and stop a workload that dormouse did not start.",
        ..flagged("wake.stop_foreign", "--stop-foreign", SWITCH, "true")
    },
    Key {
        default: defaults::FOREIGN_LISTENER.text,
        manual: "What to do with a listener at the address of the server that does not belong to the workload: give \
                 it no clients (refuse), or all of them (allow). Use allow where the workload lets another program \
                 listen, for example for an exec of docker run. See the section LISTENERS OF OTHER PROGRAMS.",
        ..flagged("wake.foreign_listener", "--foreign-listener", "\"refuse\" or \"allow\"", "\"allow\"")
    },
    Key {
        default: defaults::START_TIMEOUT.text,
        manual: "The longest time from the start of the workload until it is ready. After a failed start \
                 dormouse pauses before the next one, from 1 s up to 60 s; during the pause clients are refused.",
        ..flagged("wake.start_timeout", "--start-timeout", SPAN, "\"120s\"")
    },
    Key {
        default: defaults::STOP_TIMEOUT.text,
        manual: "The longest time that a stop may take before dormouse kills the workload; 0: kill at once.",
        ..flagged("wake.stop_timeout", "--stop-timeout", SPAN, "\"10s\"")
    },
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
        manual: "Keep a started workload running at least this long, unless an administrator stops it.",
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
