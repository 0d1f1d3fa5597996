//! What stands in a service: one table, in the order of the manual, as long as there are keys.

use dormouse_core::pool::Balance;

use super::{COMMAND, COUNT, Key, SPAN, SWITCH, TABLE, TEXT, TEXTS, flagged, key};

/// What stands in a service, in the order in which it is explained.
pub const SERVICE: &[Key] = &[
    Key {
        manual: "Where clients arrive. HOST:PORT (an IP address or localhost); *:PORT or [::]:PORT for all addresses \
                 (those of IPv4 where the machine has no IPv6); /PATH or unix:/PATH; @ABSTRACT; vsock:CID:PORT; fd:NAME \
                 for the sockets that the service manager passes under this name (FileDescriptorName= of the socket \
                 unit). Port 0 lets the kernel choose; the choice is logged. Options may stand behind it, as in /run/web.sock?mode=0660&group=www-data. Of a path: mode, \
                 owner and group of the file. Of TCP: v6only ([::] leaves IPv4 alone), freebind (the address may come \
                 later), interface=NAME (only what arrives there), defer_accept=SPAN (accept a client with its first \
                 byte, or after about so long; for protocols in which the client speaks first), fastopen=N (clients may \
                 send bytes with their first packet, so many at once; needs 2 in net.ipv4.tcp_fastopen). Of both and \
                 vsock: backlog=N (so many clients may wait to be accepted).",
        ..flagged("listen", "--listen", TEXTS, "\"127.0.0.1:8080\"")
    },
    Key {
        manual: "Where clients go: HOST:PORT, /PATH or unix:/PATH, @ABSTRACT or vsock:CID:PORT. dns:NAME:PORT are all \
                 addresses of a name, and srv:NAME what its service records (SRV) say, with their ports and weights; \
                 higher priorities are backup servers. Such servers, up to 32 at a time, come and go as the answers \
                 change; sessions of one that goes end by themselves. A list is several servers with nothing to wake; \
                 what is woken stands in [[services.NAME.servers]].",
        ..flagged("to", "--to", TEXTS, "\"127.0.0.1:9000\"")
    },
    Key {
        manual: "In the place of to, a table for each server: its name, where it is (to), how it is woken (wake).",
        ..key("servers", "a list of tables", "[{ name = \"a\", to = \"127.0.0.1:9000\" }]")
    },
    Key {
        default: "those of /etc/resolv.conf",
        manual: "Which DNS servers are asked for dns:NAME:PORT and srv:NAME, in this order. They are asked again when an \
                 answer's TTL is over, after 10 s at the latest. An answer stays while nobody answers; that a name has \
                 no servers any more is believed after 30 s.",
        ..key("dns", TEXTS, "\"127.0.0.1:53\"")
    },
    Key {
        default: "server1, server2 and so on",
        manual: "The server's name in the log, unique in its service.",
        ..key("servers.name", TEXT, "\"a\"")
    },
    Key { manual: "Where the server is, as for a service.", ..key("servers.to", TEXT, "\"127.0.0.1:9000\"") },
    Key {
        manual: "How the server is woken, as for a service; on, allow, stop_foreign and the timeouts stand in the \
                 service's own wake.",
        ..key("servers.wake", TABLE, "{ unit = \"nginx.service\" }")
    },
    Key {
        default: "1",
        manual: "The server's share of the sessions, from 0 (none) to 256.",
        ..key("servers.weight", "a number from 0 to 256", "10")
    },
    Key {
        default: "false",
        manual: "The server is used only while no other is up. Of several the first that is up serves alone.",
        ..key("servers.backup", SWITCH, "true")
    },
    Key {
        default: "no limit",
        manual: "How many sessions the server may have at once. Further clients wait in the queue.",
        ..key("servers.maxconn", COUNT, "100")
    },
    Key {
        default: "false",
        manual: "The server begins in maintenance: it gets no sessions and is not checked.",
        ..key("servers.disabled", SWITCH, "true")
    },
    Key {
        default: "as the service's check says",
        manual: "Whether this server is checked.",
        ..key("servers.check", SWITCH, "true")
    },
    Key {
        manual: "How what is behind the service is woken and put to sleep: one of unit, container, exec, start and wol, \
                 with what belongs to it. Without it the service is a bridge to something that is there.",
        ..key("wake", TABLE, "{ unit = \"nginx.service\" }")
    },
    Key {
        manual: "A systemd unit; .service is added to a name without a suffix. What somebody else has started is used, \
                 and not stopped unless stop_foreign is set.",
        ..flagged("wake.unit", "--unit", TEXT, "\"nginx.service\"")
    },
    Key {
        default: "\"system\" for root, otherwise \"user\"",
        manual: "Whose unit it is: the system's service manager's or that of the user.",
        ..key("wake.manager", "\"system\" or \"user\"", "\"system\"")
    },
    Key {
        manual: "A container of Podman or Docker, by its name or id. One that a Quadlet makes is woken as its unit.",
        ..flagged("wake.container", "--container", TEXT, "\"httpd\"")
    },
    Key {
        default: "looked for in the usual places",
        manual: "The socket of the container engine's API.",
        ..flagged("wake.engine", "--engine", "an absolute path", "\"/run/podman/podman.sock\"")
    },
    Key {
        manual: "A program that is started and stopped as a process of its own group. A string is split as a shell \
                 would, but no shell runs it.",
        ..flagged("wake.exec", "--exec", COMMAND, "\"python3 -m http.server 9000\"")
    },
    Key {
        manual: "Added to the environment of exec's program.",
        ..key("wake.environment", "a table of strings", "{ PORT = \"9000\" }")
    },
    Key { manual: "Where exec's program runs.", ..key("wake.directory", "an absolute path", "\"/srv/web\"") },
    Key {
        manual: "A command that starts what is behind and then ends, with 0 if that worked.",
        ..flagged("wake.start", "--start-command", COMMAND, "\"virsh start web\"")
    },
    Key {
        manual: "The command that stops it again. Without it, it is not stopped.",
        ..flagged("wake.stop", "--stop-command", COMMAND, "\"virsh shutdown web\"")
    },
    Key {
        manual: "The command that freezes it.",
        ..flagged("wake.freeze", "--freeze-command", COMMAND, "\"virsh suspend web\"")
    },
    Key {
        manual: "The command that thaws it.",
        ..flagged("wake.thaw", "--thaw-command", COMMAND, "\"virsh resume web\"")
    },
    Key {
        manual: "A command that ends with 0 while it runs, and with something else while it does not.",
        ..flagged("wake.status", "--status-command", COMMAND, "\"virsh-is-running web\"")
    },
    Key {
        manual: "The hardware address of a machine that a Wake-on-LAN packet wakes. It is not put to sleep from here.",
        ..flagged("wake.wol", "--wol", "a hardware address", "\"aa:bb:cc:dd:ee:ff\"")
    },
    Key {
        default: "\"255.255.255.255:9\"",
        manual: "Where the packet goes.",
        ..key("wake.broadcast", "an IP address with or without a port", "\"192.168.1.255:9\"")
    },
    Key {
        default: "\"connect\"",
        manual: "What wakes: a connection, or only a client's first byte (data), so that whoever just looks whether the \
                 port is open wakes nothing. data is nothing for protocols in which the server speaks first.",
        ..flagged("wake.on", "--wake-on", "\"connect\" or \"data\"", "\"data\"")
    },
    Key {
        default: "everybody",
        manual: "Only clients from these addresses may wake it; the others are served while it is awake. Clients of \
                 its own UNIX sockets always may, unless a PROXY header tells where they come from.",
        ..flagged("wake.allow", "--wake-allow", TEXTS, "[\"10.0.0.0/8\", \"::1\"]")
    },
    Key {
        default: "false",
        manual: "Freeze and stop also what somebody else has started.",
        ..flagged("wake.stop_foreign", "--stop-foreign", SWITCH, "true")
    },
    Key {
        default: "\"120s\"",
        manual: "How long it may take from the start until it is ready.",
        ..flagged("wake.start_timeout", "--start-timeout", SPAN, "\"120s\"")
    },
    Key {
        default: "\"10s\"",
        manual: "How long a stop may take before it is enforced.",
        ..flagged("wake.stop_timeout", "--stop-timeout", SPAN, "\"10s\"")
    },
    Key {
        default: "\"connect\"",
        manual: "When a server that was started is ready: connect (it takes a connection), notify (a unit's start job is \
                 done, exec's program says READY=1 as in sd_notify(3)), healthy (the container's health check says so), \
                 file:PATH, command:COMMAND or expect:TEXT; or a table with one of the keys below.",
        ..flagged("ready", "--ready", "a string or a table", "\"connect\"")
    },
    Key {
        manual: "It is ready when this file exists.",
        ..key("ready.file", "an absolute path", "\"/run/web/ready\"")
    },
    Key {
        manual: "It is ready when this command ends with 0.",
        ..key("ready.command", COMMAND, "\"pg_isready -q\"")
    },
    Key { manual: "It is ready when what it says contains this.", ..key("ready.expect", TEXT, "\"+PONG\"") },
    Key {
        default: "\"\"",
        manual: "Said to it first, before something is expected.",
        ..key("ready.send", TEXT, "\"PING\\r\\n\"")
    },
    Key { manual: "The same as settle of the service.", ..key("ready.settle", SPAN, "\"500ms\"") },
    Key {
        default: "\"0\"",
        manual: "How long it must have been ready before clients are passed on.",
        ..flagged("settle", "--settle", SPAN, "\"500ms\"")
    },
    Key {
        manual: "What happens to clients while nobody answers yet.",
        ..key("hold", TABLE, "{ timeout = \"30s\", max = 1024 }")
    },
    Key {
        default: "\"30s\"",
        manual: "How long a client waits at most. 0 turns it away at once, infinity lets it wait for ever.",
        ..flagged("hold.timeout", "--hold", SPAN, "\"30s\"")
    },
    Key {
        default: "1024",
        manual: "How many clients wait at most.",
        ..flagged("hold.max", "--hold-max", COUNT, "1024")
    },
    Key {
        default: "\"refuse\"",
        manual: "What happens to the next one: it is turned away (refuse), or left in the listener's backlog (queue).",
        ..flagged("hold.overflow", "--overflow", "\"refuse\" or \"queue\"", "\"queue\"")
    },
    Key {
        manual: "When it sleeps. A time span alone is idle.stop.",
        ..key("idle", "a time span or a table", "\"10min\"")
    },
    Key {
        default: "\"5min\"",
        manual: "It is stopped after so long without a session; infinity: never.",
        ..flagged("idle.stop", "--idle", SPAN, "\"5min\"")
    },
    Key {
        default: "\"infinity\"",
        manual: "It is frozen after so long without a session: it keeps its memory and wakes in an instant.",
        ..flagged("idle.freeze", "--freeze", SPAN, "\"1min\"")
    },
    Key {
        default: "\"infinity\"",
        manual: "A session that moved no byte for so long does not count as one.",
        ..flagged("idle.quiet", "--quiet", SPAN, "\"15min\"")
    },
    Key {
        default: "\"60s\"",
        manual: "It is neither frozen nor stopped before it ran for so long, unless an administrator wants that.",
        ..flagged("idle.minimum_uptime", "--minimum-uptime", SPAN, "\"60s\"")
    },
    Key {
        manual: "When it is kept awake, used or not, in local time: [DAYS] HH:MM-HH:MM, for example \"Sat,Sun \
                 10:00-12:00\" or, every day and over midnight, \"22:00-06:00\".",
        ..flagged("idle.keep_warm", "--keep-warm", TEXTS, "[\"Mon-Fri 08:00-18:00\"]")
    },
    Key {
        manual: "The name of a group of services of which one runs at a time: the start of one stops the others when \
                 they are idle.",
        ..key("exclusive", TEXT, "\"gpu\"")
    },
    Key {
        default: "\"first\" where servers are woken, otherwise \"roundrobin\"",
        manual: Balance::MANUAL,
        ..key("balance", Balance::CHOICES, "\"leastconn\"")
    },
    Key {
        manual: "With several servers that are woken and balance = \"first\": how many sessions each holds before the \
                 next is woken.",
        ..key("soft", COUNT, "20")
    },
    Key {
        default: "false",
        manual: "Whether servers are checked, and by which rules: true, or a table with some of the keys below. A check \
                 is a connection; with send or expect also an exchange. A server that is down gets no sessions; while \
                 all are down clients are held. What sleeps is not checked. A UNIX socket that is removed or made \
                 again is looked at at once.",
        ..key("check", "true, false or a table", "{ inter = \"2s\", rise = 2, fall = 3 }")
    },
    Key {
        default: "\"2s\"",
        manual: "Between two checks. A session that does not get through calls for one at once.",
        ..key("check.inter", SPAN, "\"2s\"")
    },
    Key {
        default: "as inter",
        manual: "Between two checks while a server is about to change its state.",
        ..key("check.fastinter", SPAN, "\"500ms\"")
    },
    Key {
        default: "as inter",
        manual: "Between two checks while a server is down. While clients wait and no other server is up, it is looked \
                 at every 50 ms.",
        ..key("check.downinter", SPAN, "\"5s\"")
    },
    Key {
        default: "2",
        manual: "How many successes in a row bring a server back.",
        ..key("check.rise", COUNT, "2")
    },
    Key {
        default: "3",
        manual: "How many failures in a row take a server down.",
        ..key("check.fall", COUNT, "3")
    },
    Key {
        default: "as inter",
        manual: "How long a check may take. A UNIX socket with a full backlog is busy, which is no failure.",
        ..key("check.timeout", SPAN, "\"1s\"")
    },
    Key {
        default: "\"\"",
        manual: "Said to the server once it has taken the connection.",
        ..key("check.send", TEXT, "\"PING\\r\\n\"")
    },
    Key { manual: "What the server says must contain this.", ..key("check.expect", TEXT, "\"+PONG\"") },
    Key {
        default: "\"up\"",
        manual: "The state before the first check, and after maintenance: up (until one check fails), fully-up (until \
                 fall of them fail), down (until one succeeds) or fully-down (until rise of them succeed).",
        ..key("check.init", "\"up\", \"fully-up\", \"down\" or \"fully-down\"", "\"down\"")
    },
    Key {
        default: "true where the server is woken, otherwise false",
        manual: "While sessions get through to a server, it is not checked.",
        ..key("check.passive", SWITCH, "true")
    },
    Key {
        default: "none",
        manual: "Count sessions that do not get through to the server (layer4).",
        ..key("check.observe", "\"layer4\"", "\"layer4\"")
    },
    Key {
        default: "10",
        manual: "With observe: so many in a row are an error.",
        ..key("check.error_limit", COUNT, "10")
    },
    Key {
        default: "\"fail-check\"",
        manual: "With observe, what an error does: the next check comes after fastinter (fastinter); it counts as a \
                 failed check, too (fail-check); one more failed check takes the server down, too (sudden-death); the \
                 server is down (mark-down).",
        ..key(
            "check.on_error",
            "\"fastinter\", \"fail-check\", \"sudden-death\" or \"mark-down\"",
            "\"mark-down\"",
        )
    },
    Key {
        default: "sessions stay",
        manual: "What happens when a server goes down: its sessions end with a reset (shutdown-sessions).",
        ..key("check.on_marked_down", "\"shutdown-sessions\"", "\"shutdown-sessions\"")
    },
    Key {
        default: "false",
        manual: "While all servers are down, try them all.",
        ..key("check.fail_open", SWITCH, "true")
    },
    Key {
        default: "\"0\"",
        manual: "For so long after a server came back, its weight grows from next to nothing to what it is.",
        ..key("check.slowstart", SPAN, "\"30s\"")
    },
    Key {
        manual: "Clients that wait because all servers have as many sessions as their maxconn allows. They are served \
                 in the order in which they came.",
        ..key("queue", TABLE, "{ timeout = \"30s\", max = 1024 }")
    },
    Key {
        default: "\"30s\"",
        manual: "How long a client waits there; infinity lets it wait for ever.",
        ..key("queue.timeout", SPAN, "\"30s\"")
    },
    Key {
        default: "as hold.max",
        manual: "How many wait there, also while all servers are down. What happens to the next one is told by \
                 hold.overflow.",
        ..key("queue.max", COUNT, "1024")
    },
    Key {
        default: "3",
        manual: "With several servers, or rules for one: how often a server that did not take a connection is tried \
                 again, for a second each time. After that the client is held like one for whom nobody is there.",
        ..key("retries", "a number from 0 to 1000", "3")
    },
    Key {
        default: "true",
        manual: "The last retry goes to another server; with roundrobin and random each does, without a delay.",
        ..key("redispatch", SWITCH, "false")
    },
    Key {
        default: "true",
        manual: "While it starts, a connection that ends before the server's first byte is tried again, and what the \
                 client said so far (up to 64 KiB) is sent again. Switch it off for protocols in which that does harm.",
        ..flagged("replay", "--no-replay", SWITCH, "false")
    },
    Key {
        default: "4096",
        manual: "How many sessions at once, over all its listeners.",
        ..flagged("maxconn", "--maxconn", COUNT, "4096")
    },
    Key {
        default: "\"queue\"",
        manual: "What happens to the next one: it waits in the listener's backlog (queue), or is turned away (refuse).",
        ..flagged("at_limit", "--at-limit", "\"queue\" or \"refuse\"", "\"queue\"")
    },
    Key {
        default: "nobody",
        manual: "Who begins with a PROXY protocol header (version 1 or 2) that says who the client really is: load \
                 balancers and proxies of these addresses, and local ones. The others are plain clients. true: everybody \
                 begins with one; then whoever can reach the listener can claim any address. What the header says counts \
                 for the log, for wake.allow and for proxy_protocol.",
        ..flagged(
            "accept_proxy",
            "--accept-proxy",
            "true or a list of addresses",
            "[\"10.0.0.0/8\", \"::1\"]",
        )
    },
    Key {
        default: "none",
        manual: "Tell the server the client's address by a PROXY protocol header of this version. In a file, a table tells more, in \
                 version 2.",
        ..flagged("proxy_protocol", "--proxy-protocol", "\"v1\", \"v2\" or a table", "\"v2\"")
    },
    Key {
        default: "\"v2\"",
        manual: "The version of the header.",
        ..key("proxy_protocol.version", "\"v1\" or \"v2\"", "\"v2\"")
    },
    Key {
        default: "false",
        manual: "Give each session a name of its own (PP2_TYPE_UNIQUE_ID), which its log line has, too. One that a proxy \
                 before us has given stays.",
        ..key("proxy_protocol.unique_id", SWITCH, "true")
    },
    Key {
        default: "false",
        manual: "Tell of clients of UNIX sockets their user, group and process as well: TLVs of the types 0xE0, 0xE1 and \
                 0xE2, each a number of 4 bytes in network order.",
        ..key("proxy_protocol.credentials", SWITCH, "true")
    },
    Key {
        default: "true",
        manual: "Pass on what else a header said that was accepted (its TLVs).",
        ..key("proxy_protocol.pass", SWITCH, "false")
    },
    Key {
        manual: "The clocks of a session; 0 and infinity switch one off. client, server, tunnel and the two _fin mean \
                 what they mean to HAProxy for TCP.",
        ..key("timeout", TABLE, "{ connect = \"5s\", half_close = \"60s\" }")
    },
    Key {
        default: "\"5s\"",
        manual: "How long an address of the server may take to answer.",
        ..flagged("timeout.connect", "--connect-timeout", SPAN, "\"5s\"")
    },
    Key {
        default: "\"infinity\"",
        manual: "End a session in which neither side sent a byte for so long.",
        ..flagged("timeout.idle", "--idle-timeout", SPAN, "\"1h\"")
    },
    Key {
        default: "\"60s\"",
        manual: "End a session of which one side has ended its stream while the other moved no byte for so long.",
        ..flagged("timeout.half_close", "--half-close-timeout", SPAN, "\"60s\"")
    },
    Key {
        default: "\"infinity\"",
        manual: "End a session in which the client was to say or to take something, and nothing came from it or went to it \
                 for so long.",
        ..flagged("timeout.client", "--client-timeout", SPAN, "\"1h\"")
    },
    Key {
        default: "\"infinity\"",
        manual: "The same for the server.",
        ..flagged("timeout.server", "--server-timeout", SPAN, "\"1h\"")
    },
    Key {
        default: "\"infinity\"",
        manual: "In the place of timeout.client and timeout.server: end a session in which no byte moved for so long.",
        ..flagged("timeout.tunnel", "--tunnel-timeout", SPAN, "\"1h\"")
    },
    Key {
        default: "timeout.half_close",
        manual: "In the place of the ones before: how long only the client's stream may be open without a byte from it, \
                 after the server ended its own.",
        ..key("timeout.client_fin", SPAN, "\"30s\"")
    },
    Key {
        default: "timeout.half_close",
        manual: "How long only the server's stream may be open without a byte from it, after the client ended its own.",
        ..key("timeout.server_fin", SPAN, "\"30s\"")
    },
    Key {
        default: "\"infinity\"",
        manual: "End a session after so long, whatever moves; both sides see a reset. It counts from when the client came.",
        ..flagged("timeout.session", "--session-timeout", SPAN, "\"8h\"")
    },
    Key {
        default: "\"5s\"",
        manual: "How long the header of accept_proxy may take to come.",
        ..key("timeout.proxy_header", SPAN, "\"5s\"")
    },
];
