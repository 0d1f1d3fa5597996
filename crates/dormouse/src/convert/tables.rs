//! Keywords that have no counterpart, and what becomes of their lines.

use super::words::Fate;
use super::words::Fate::{Left, Needless, Note};

/// What becomes of a keyword's line, and of what it begins with: `("option", "httplog")`.
pub(super) type Line = (&'static str, &'static str, Fate);

const HTTP: Fate = Note("it concerns HTTP only");
const STICKY: Fate = Left("there are no stick tables; balance source keeps a client on its server");
const KEEPALIVE: Fate = Left("keepalive is 15 s, three times, on all connections");
const CAPTURE: Fate = Left("the log's fields are fixed");
const ALERTS: Fate = Left("nothing is mailed; the log and the metrics tell of state changes");
const ONE_THREAD: Fate = Note("everything runs on one thread");
const UNIT: Fate = Note(
    "it is the unit's: User= and Group=, with AmbientCapabilities=CAP_NET_BIND_SERVICE for ports below 1024",
);

/// Of an option that has no counterpart.
pub(super) fn option(name: &str) -> Option<Fate> {
    find(OPTIONS, name, "").or_else(|| find(CHECKS, name, ""))
}

/// Whether the option says how servers are checked.
pub(super) fn is_check(name: &str) -> bool {
    find(CHECKS, name, "").is_some()
}

/// Of another keyword of a section with listeners or servers.
pub(super) fn keyword(first: &str, second: &str) -> Option<Fate> {
    find(KEYWORDS, first, second).or_else(|| find(KEYWORDS, first, ""))
}

/// Of a keyword of the global section.
pub(super) fn global(first: &str, second: &str) -> Option<Fate> {
    let prefixed = [
        ("tune.", Note("there is no such knob here")),
        ("ssl-", Needless),
        ("lua-", Left("there are no scripts here")),
        ("51degrees-", Left("it is not known here")),
        ("deviceatlas-", Left("it is not known here")),
        ("wurfl-", Left("it is not known here")),
        ("httpclient.", Needless),
        ("h1-", Needless),
        ("profiling.", Needless),
        ("no", Needless),
    ];
    find(GLOBAL, first, second)
        .or_else(|| find(GLOBAL, first, ""))
        .or_else(|| prefixed.iter().find(|(prefix, _)| first.starts_with(prefix)).map(|(_, fate)| *fate))
}

/// Of a section of another kind than those that are read.
pub(super) fn section(kind: &str) -> Option<Fate> {
    find(SECTIONS, kind, "")
}

fn find(table: &[Line], first: &str, second: &str) -> Option<Fate> {
    table.iter().find(|(one, two, _)| *one == first && *two == second).map(|(.., fate)| *fate)
}

const SECTIONS: &[Line] = &[
    (
        "resolvers",
        "",
        Note(
            "its servers are asked where a server-template names it, as TTLs run out, after 10 s at the latest",
        ),
    ),
    ("peers", "", Left("there are no stick tables to share")),
    ("mailers", "", ALERTS),
    ("program", "", Left("other programs are the service manager's; write a unit")),
    ("ring", "", Left("the log goes to standard error, which the journal keeps")),
    ("log-forward", "", Left("logs are not forwarded; the journal or a syslog server does that")),
    ("log-profile", "", CAPTURE),
    ("userlist", "", Needless),
    ("http-errors", "", Needless),
    ("cache", "", Needless),
    ("fcgi-app", "", Needless),
    ("crt-store", "", Needless),
    ("traces", "", Needless),
    ("acme", "", Left("certificates are not asked for here")),
];

const GLOBAL: &[Line] = &[
    ("daemon", "", Note("it stays in the foreground, under the service manager (Type=notify)")),
    ("master-worker", "", Note("one process, under the service manager")),
    ("mworker-max-reloads", "", Needless),
    ("pidfile", "", Note("the service manager knows the process")),
    ("user", "", UNIT),
    ("group", "", UNIT),
    ("uid", "", UNIT),
    ("gid", "", UNIT),
    (
        "chroot",
        "",
        Note("it is the unit's: ProtectSystem=strict, PrivateTmp=yes and the like, or RootDirectory="),
    ),
    ("nbproc", "", ONE_THREAD),
    ("nbthread", "", ONE_THREAD),
    ("cpu-map", "", Note("it is the unit's: CPUAffinity=")),
    ("thread-group", "", ONE_THREAD),
    ("thread-groups", "", ONE_THREAD),
    (
        "ulimit-n",
        "",
        Note("the soft limit is raised as far as maxconn needs; the hard limit is the unit's LimitNOFILE="),
    ),
    ("fd-hard-limit", "", Note("it is the unit's: LimitNOFILE=")),
    ("spread-checks", "", Note("checks are always spread in time")),
    ("max-spread-checks", "", Note("checks are always spread in time")),
    ("maxconnrate", "", Left("connections are not limited by their rate; maxconn limits how many there are")),
    ("maxsessrate", "", Left("connections are not limited by their rate; maxconn limits how many there are")),
    ("maxsslconn", "", Needless),
    ("maxsslrate", "", Needless),
    ("maxcomprate", "", Needless),
    ("maxcompcpuusage", "", Needless),
    ("maxzlibmem", "", Needless),
    ("maxpipes", "", Needless),
    ("ca-base", "", Needless),
    ("crt-base", "", Needless),
    ("description", "", Needless),
    ("node", "", Needless),
    ("localpeer", "", Needless),
    ("default-path", "", Needless),
    ("log-tag", "", Note("SyslogIdentifier= of the unit names the log's lines")),
    ("log-send-hostname", "", Needless),
    ("stats", "timeout", Needless),
    ("stats", "maxconn", Needless),
    ("stats", "bind-process", Needless),
    ("server-state-base", "", Needless),
    ("server-state-file", "", Left("servers' states are not kept in a file")),
    ("set-dumpable", "", Needless),
    ("strict-limits", "", Needless),
    ("external-check", "", Left("checks run no programs; check.send and check.expect talk to the server")),
    ("insecure-fork-wanted", "", Needless),
    ("insecure-setuid-wanted", "", Needless),
    ("expose-experimental-directives", "", Needless),
    ("grace", "", Needless),
    ("quiet", "", Needless),
    ("zero-warning", "", Needless),
    ("busy-polling", "", Needless),
    ("numa-cpu-mapping", "", Needless),
    ("pp2-never-send-local", "", Needless),
    ("cluster-secret", "", Needless),
    ("set-var", "", Left("there are no variables here")),
    ("set-var-fmt", "", Left("there are no variables here")),
    ("issuers-chain-path", "", Needless),
    ("resetenv", "", Needless),
];

const KEYWORDS: &[Line] = &[
    ("acl", "", Left("there are no ACLs; the rules that use it are told at their lines")),
    ("bind-process", "", ONE_THREAD),
    ("capture", "", CAPTURE),
    ("declare", "", HTTP),
    ("clitcpka-cnt", "", KEEPALIVE),
    ("clitcpka-idle", "", KEEPALIVE),
    ("clitcpka-intvl", "", KEEPALIVE),
    ("srvtcpka-cnt", "", KEEPALIVE),
    ("srvtcpka-idle", "", KEEPALIVE),
    ("srvtcpka-intvl", "", KEEPALIVE),
    ("compression", "", HTTP),
    ("cookie", "", HTTP),
    ("description", "", Needless),
    ("id", "", Needless),
    ("guid", "", Needless),
    ("email-alert", "", ALERTS),
    ("errorfile", "", HTTP),
    ("errorfiles", "", HTTP),
    ("errorloc", "", HTTP),
    ("errorloc302", "", HTTP),
    ("errorloc303", "", HTTP),
    ("error-log-format", "", CAPTURE),
    ("log-format", "", CAPTURE),
    ("log-format-sd", "", CAPTURE),
    ("log-tag", "", Note("SyslogIdentifier= of the unit names the log's lines")),
    ("log-steps", "", CAPTURE),
    ("unique-id-format", "", CAPTURE),
    ("unique-id-header", "", HTTP),
    ("filter", "", Left("there are no filters")),
    ("force-persist", "", HTTP),
    ("ignore-persist", "", HTTP),
    ("fullconn", "", Note("a server's maxconn does not move with the load")),
    (
        "hash-type",
        "",
        Note("balance source always hashes so that a server that leaves moves only its own clients"),
    ),
    ("hash-balance-factor", "", Left("balance source does not look at the load")),
    ("http-after-response", "", HTTP),
    ("http-check", "", Left("HTTP checks are not made; check.send and check.expect talk to the server")),
    ("http-error", "", HTTP),
    ("http-request", "", HTTP),
    ("http-response", "", HTTP),
    ("http-reuse", "", HTTP),
    ("http-send-name-header", "", HTTP),
    ("load-server-state-from-file", "", Left("servers' states are not kept in a file")),
    ("server-state-file-name", "", Left("servers' states are not kept in a file")),
    ("max-keep-alive-queue", "", HTTP),
    ("monitor", "", HTTP),
    ("monitor-uri", "", HTTP),
    ("external-check", "", Left("checks run no programs; check.send and check.expect talk to the server")),
    ("persist", "", STICKY),
    ("rate-limit", "", Left("connections are not limited by their rate; maxconn limits how many there are")),
    ("redirect", "", HTTP),
    ("retry-on", "", HTTP),
    ("source", "", Left("the kernel chooses the address that a connection comes from")),
    ("stats", "", Left("the page of dormouse is for all services: http = \"127.0.0.1:PORT\"")),
    ("stick", "", STICKY),
    ("stick-table", "", STICKY),
    ("tcp-request", "inspect-delay", Needless),
    ("tcp-response", "", Left("what servers say is passed on as it is")),
    ("timeout", "http-keep-alive", HTTP),
    ("timeout", "http-request", HTTP),
    ("timeout", "tarpit", HTTP),
    ("use-fcgi-app", "", HTTP),
    ("use-server", "", Left("no rules choose a server; balance does")),
    ("transparent", "", Left("a server has an address here")),
];

const OPTIONS: &[Line] = &[
    ("abortonclose", "", Needless),
    ("accept-invalid-http-request", "", HTTP),
    ("accept-invalid-http-response", "", HTTP),
    ("allbackups", "", Left("of several backup servers the first that is up serves alone")),
    ("checkcache", "", HTTP),
    ("clitcpka", "", Needless),
    ("contstats", "", Needless),
    ("disable-h2-upgrade", "", HTTP),
    ("dontlog-normal", "", Needless),
    ("dontlognull", "", Needless),
    ("forwardfor", "", Note("it concerns HTTP only; proxy_protocol tells the server who the client is")),
    ("h1-case-adjust-bogus-client", "", HTTP),
    ("h1-case-adjust-bogus-server", "", HTTP),
    ("http-buffer-request", "", HTTP),
    ("http-ignore-probes", "", HTTP),
    ("http-keep-alive", "", HTTP),
    ("http-no-delay", "", HTTP),
    ("http-pretend-keepalive", "", HTTP),
    ("http-restrict-req-hdr-names", "", HTTP),
    ("http-server-close", "", HTTP),
    ("http-use-proxy-header", "", HTTP),
    ("httpclose", "", HTTP),
    ("httplog", "", HTTP),
    ("httpslog", "", HTTP),
    ("idle-close-on-response", "", HTTP),
    ("independent-streams", "", Left("bytes either way keep a session alive")),
    ("log-health-checks", "", Needless),
    ("log-separate-errors", "", Needless),
    ("logasap", "", Left("a session is logged when it ends")),
    ("nolinger", "", Left("connections are closed in good order; what is reset is passed on as a reset")),
    ("originalto", "", HTTP),
    ("persist", "", HTTP),
    ("prefer-last-server", "", HTTP),
    ("socket-stats", "", Needless),
    ("splice-auto", "", Needless),
    ("splice-request", "", Needless),
    ("splice-response", "", Needless),
    ("srvtcpka", "", Needless),
    ("tcpka", "", Needless),
    ("tcp-smart-accept", "", Needless),
    ("tcp-smart-connect", "", Needless),
    ("tcplog", "", Note("log = \"tcplog\" logs a line for each session of all services")),
    ("transparent", "", Left("a server has an address here")),
];

/// Options that say how servers are checked, in the place of what was said before.
const CHECKS: &[Line] = &[
    (
        "external-check",
        "",
        Left(
            "servers are checked by a connection; checks run no programs, check.send and check.expect talk to the server",
        ),
    ),
    (
        "httpchk",
        "",
        Left(
            "servers are checked by a connection; check = { send = \"OPTIONS / HTTP/1.0\\r\\n\\r\\n\", expect = \" 200 \" } \
         asks more",
        ),
    ),
    (
        "mysql-check",
        "",
        Left("servers are checked by a connection; MySQL takes such a check for an aborted client"),
    ),
    ("pgsql-check", "", Left("servers are checked by a connection")),
    (
        "smtpchk",
        "",
        Left("servers are checked by a connection; check = { expect = \"220 \" } waits for the greeting"),
    ),
    ("ldap-check", "", Left("servers are checked by a connection")),
    ("ssl-hello-chk", "", Left("servers are checked by a connection, which speaks no TLS")),
    ("spop-check", "", Left("servers are checked by a connection")),
];
