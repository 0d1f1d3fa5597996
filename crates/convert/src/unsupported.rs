//! Keywords without an equivalent in dormouse, and what the converter does with their lines.

use crate::report::Disposition;
use crate::report::Disposition::{Ignore, Note, Omit};

/// The first word of a line, its second word (empty: any), and what to do with the line.
type Keyword = (&'static str, &'static str, Disposition);

const HTTP: Disposition = Note("applies to HTTP only");
const STICKY: Disposition = Omit("dormouse has no stick tables; balance source keeps a client on its server");
const KEEPALIVE: Disposition = Omit("dormouse enables keepalive on all connections, with fixed times");
const CAPTURE: Disposition = Omit("the log format is fixed");
const ALERTS: Disposition = Omit("dormouse sends no mail; the log and the metrics report state changes");
const TLS: Disposition = Note("dormouse does not decrypt TLS; it passes the bytes on");
const ONE_THREAD: Disposition = Note("dormouse uses one thread");
const UNIT: Disposition = Note(
    "set it in the unit: User= and Group=, with AmbientCapabilities=CAP_NET_BIND_SERVICE for ports below 1024",
);

/// Looks up an option.
pub(crate) fn option(name: &str) -> Option<Disposition> {
    find(OPTIONS, name, "").or_else(|| find(CHECKS, name, ""))
}

/// Returns whether the option selects how servers are checked.
pub(crate) fn is_check_option(name: &str) -> bool {
    find(CHECKS, name, "").is_some()
}

/// Looks up a keyword of a section with listeners or servers.
pub(crate) fn keyword(first: &str, second: &str) -> Option<Disposition> {
    find(KEYWORDS, first, second).or_else(|| find(KEYWORDS, first, ""))
}

/// Looks up a keyword of the global section.
pub(crate) fn global(first: &str, second: &str) -> Option<Disposition> {
    let prefixed = [
        ("tune.", Note("dormouse has no such tuning parameter")),
        ("ssl-", TLS),
        ("lua-", Omit("dormouse runs no scripts")),
        ("51degrees-", Omit("not supported")),
        ("deviceatlas-", Omit("not supported")),
        ("wurfl-", Omit("not supported")),
        ("httpclient.", Ignore),
        ("h1-", Ignore),
        ("profiling.", Ignore),
        ("no", Ignore),
    ];
    find(GLOBAL, first, second).or_else(|| find(GLOBAL, first, "")).or_else(|| {
        prefixed.iter().find(|(prefix, _)| first.starts_with(prefix)).map(|(_, disposition)| *disposition)
    })
}

/// Looks up a kind of section that is not converted.
pub(crate) fn section(kind: &str) -> Option<Disposition> {
    find(SECTIONS, kind, "")
}

fn find(table: &[Keyword], first: &str, second: &str) -> Option<Disposition> {
    table.iter().find(|(one, two, _)| *one == first && *two == second).map(|(.., disposition)| *disposition)
}

const SECTIONS: &[Keyword] = &[
    (
        "resolvers",
        "",
        Note(
            "its name servers are queried for each server-template that refers to it, when TTLs expire and at least every 10 s",
        ),
    ),
    ("peers", "", Omit("dormouse has no stick tables to share")),
    ("mailers", "", ALERTS),
    ("program", "", Omit("the service manager starts other programs; write a unit")),
    ("ring", "", Omit("the log goes to standard error, which the journal stores")),
    ("log-forward", "", Omit("dormouse does not forward logs; use the journal or a syslog server")),
    ("log-profile", "", CAPTURE),
    ("userlist", "", Ignore),
    ("http-errors", "", Ignore),
    ("cache", "", Ignore),
    ("fcgi-app", "", Ignore),
    ("crt-store", "", Ignore),
    ("traces", "", Ignore),
    ("acme", "", Omit("dormouse requests no certificates")),
];

const GLOBAL: &[Keyword] = &[
    ("daemon", "", Note("dormouse stays in the foreground, under the service manager (Type=notify)")),
    ("master-worker", "", Note("dormouse is one process, under the service manager")),
    ("mworker-max-reloads", "", Ignore),
    ("pidfile", "", Note("the service manager tracks the process")),
    ("user", "", UNIT),
    ("group", "", UNIT),
    ("uid", "", UNIT),
    ("gid", "", UNIT),
    (
        "chroot",
        "",
        Note("set it in the unit: ProtectSystem=strict, PrivateTmp=yes and similar, or RootDirectory="),
    ),
    ("nbproc", "", ONE_THREAD),
    ("nbthread", "", ONE_THREAD),
    ("cpu-map", "", Note("set it in the unit: CPUAffinity=")),
    ("thread-group", "", ONE_THREAD),
    ("thread-groups", "", ONE_THREAD),
    (
        "ulimit-n",
        "",
        Note(
            "dormouse raises the soft limit as far as maxconn requires; set the hard limit in the unit: LimitNOFILE=",
        ),
    ),
    ("fd-hard-limit", "", Note("set it in the unit: LimitNOFILE=")),
    ("spread-checks", "", Note("checks are always spread over time")),
    ("max-spread-checks", "", Note("checks are always spread over time")),
    (
        "maxconnrate",
        "",
        Omit("dormouse has no connection rate limit; maxconn limits the number of connections"),
    ),
    (
        "maxsessrate",
        "",
        Omit("dormouse has no connection rate limit; maxconn limits the number of connections"),
    ),
    ("maxsslconn", "", Ignore),
    ("maxsslrate", "", Ignore),
    ("maxcomprate", "", Ignore),
    ("maxcompcpuusage", "", Ignore),
    ("maxzlibmem", "", Ignore),
    ("maxpipes", "", Ignore),
    ("ca-base", "", TLS),
    ("crt-base", "", TLS),
    ("description", "", Ignore),
    ("node", "", Ignore),
    ("localpeer", "", Ignore),
    ("default-path", "", Ignore),
    ("log-tag", "", Note("set it in the unit: SyslogIdentifier=")),
    ("log-send-hostname", "", Ignore),
    (
        "stats",
        "timeout",
        Note("it is 10 s on the control socket; set timeout cli changes it for one connection"),
    ),
    ("stats", "maxconn", Ignore),
    ("stats", "bind-process", Ignore),
    ("server-state-base", "", Ignore),
    ("server-state-file", "", Omit("dormouse does not save server states in a file")),
    ("set-dumpable", "", Ignore),
    ("strict-limits", "", Ignore),
    ("external-check", "", Omit("checks run no programs; use check.send and check.expect")),
    ("insecure-fork-wanted", "", Ignore),
    ("insecure-setuid-wanted", "", Ignore),
    ("expose-experimental-directives", "", Ignore),
    ("grace", "", Ignore),
    ("quiet", "", Ignore),
    ("zero-warning", "", Ignore),
    ("busy-polling", "", Ignore),
    ("numa-cpu-mapping", "", Ignore),
    ("pp2-never-send-local", "", Ignore),
    ("cluster-secret", "", Ignore),
    ("set-var", "", Omit("dormouse has no variables")),
    ("set-var-fmt", "", Omit("dormouse has no variables")),
    ("issuers-chain-path", "", Ignore),
    ("resetenv", "", Ignore),
];

const KEYWORDS: &[Keyword] = &[
    ("acl", "", Omit("dormouse has no ACLs; the lines that use this one are reported separately")),
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
    ("description", "", Ignore),
    ("id", "", Ignore),
    ("guid", "", Ignore),
    ("email-alert", "", ALERTS),
    ("errorfile", "", HTTP),
    ("errorfiles", "", HTTP),
    ("errorloc", "", HTTP),
    ("errorloc302", "", HTTP),
    ("errorloc303", "", HTTP),
    ("error-log-format", "", CAPTURE),
    ("log-format", "", CAPTURE),
    ("log-format-sd", "", CAPTURE),
    ("log-tag", "", Note("set it in the unit: SyslogIdentifier=")),
    ("log-steps", "", CAPTURE),
    ("unique-id-format", "", CAPTURE),
    ("unique-id-header", "", HTTP),
    ("filter", "", Omit("dormouse has no filters")),
    ("force-persist", "", HTTP),
    ("ignore-persist", "", HTTP),
    ("fullconn", "", Note("the maxconn of a server does not change with the load")),
    ("hash-type", "", Note("balance source always uses consistent hashing")),
    ("hash-balance-factor", "", Omit("balance source ignores the load")),
    ("http-after-response", "", HTTP),
    ("http-check", "", Omit("dormouse has no HTTP checks; use check.send and check.expect")),
    ("http-error", "", HTTP),
    ("http-request", "", HTTP),
    ("http-response", "", HTTP),
    ("http-reuse", "", HTTP),
    ("http-send-name-header", "", HTTP),
    ("load-server-state-from-file", "", Omit("dormouse does not save server states in a file")),
    ("server-state-file-name", "", Omit("dormouse does not save server states in a file")),
    ("max-keep-alive-queue", "", HTTP),
    ("monitor", "", HTTP),
    ("monitor-uri", "", HTTP),
    ("external-check", "", Omit("checks run no programs; use check.send and check.expect")),
    ("persist", "", STICKY),
    (
        "rate-limit",
        "",
        Omit("dormouse has no connection rate limit; maxconn limits the number of connections"),
    ),
    ("redirect", "", HTTP),
    ("retry-on", "", HTTP),
    ("source", "", Omit("the kernel chooses the source address of connections")),
    ("stats", "", Omit("the status page of dormouse covers all services: http = \"127.0.0.1:PORT\"")),
    ("stick", "", STICKY),
    ("stick-table", "", STICKY),
    ("tcp-request", "inspect-delay", Ignore),
    ("tcp-response", "", Omit("dormouse passes responses on unchanged")),
    ("timeout", "http-keep-alive", HTTP),
    ("timeout", "http-request", HTTP),
    ("timeout", "tarpit", HTTP),
    ("use-fcgi-app", "", HTTP),
    ("use-server", "", Omit("dormouse has no rules that choose a server; it uses balance")),
    ("transparent", "", Omit("dormouse needs the address of a server")),
];

const OPTIONS: &[Keyword] = &[
    ("abortonclose", "", Ignore),
    ("accept-invalid-http-request", "", HTTP),
    ("accept-invalid-http-response", "", HTTP),
    ("allbackups", "", Omit("only the first available backup server is used")),
    ("checkcache", "", HTTP),
    ("clitcpka", "", Ignore),
    ("contstats", "", Ignore),
    ("disable-h2-upgrade", "", HTTP),
    ("dontlog-normal", "", Ignore),
    ("dontlognull", "", Ignore),
    ("forwardfor", "", Note("applies to HTTP only; proxy_protocol sends the client address to the server")),
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
    ("independent-streams", "", Omit("bytes in either direction reset the timeout")),
    ("log-health-checks", "", Ignore),
    ("log-separate-errors", "", Ignore),
    ("logasap", "", Omit("dormouse logs a session when it ends")),
    ("nolinger", "", Omit("dormouse closes connections in order, and passes a reset on as a reset")),
    ("originalto", "", HTTP),
    ("persist", "", HTTP),
    ("prefer-last-server", "", HTTP),
    ("socket-stats", "", Ignore),
    ("splice-auto", "", Ignore),
    ("splice-request", "", Ignore),
    ("splice-response", "", Ignore),
    ("srvtcpka", "", Ignore),
    ("tcpka", "", Ignore),
    ("tcp-smart-accept", "", Ignore),
    ("tcp-smart-connect", "", Ignore),
    ("tcplog", "", Note("log = \"tcplog\" writes a line for each session of every service")),
    ("transparent", "", Omit("dormouse needs the address of a server")),
];

/// Options that select how servers are checked. Each replaces the one before.
const CHECKS: &[Keyword] = &[
    (
        "external-check",
        "",
        Omit("servers are checked by a connection; checks run no programs, use check.send and check.expect"),
    ),
    (
        "httpchk",
        "",
        Omit(
            "servers are checked by a connection; check = { send = \"OPTIONS / HTTP/1.0\\r\\n\\r\\n\", expect = \" 200 \" } \
         checks the response",
        ),
    ),
    ("mysql-check", "", Omit("servers are checked by a connection, which MySQL counts as an aborted client")),
    ("pgsql-check", "", Omit("servers are checked by a connection")),
    (
        "smtpchk",
        "",
        Omit("servers are checked by a connection; check = { expect = \"220 \" } checks the greeting"),
    ),
    ("ldap-check", "", Omit("servers are checked by a connection")),
    ("ssl-hello-chk", "", Omit("servers are checked by a connection without TLS")),
    ("spop-check", "", Omit("servers are checked by a connection")),
];
