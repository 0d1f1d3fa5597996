//! The options of `server` and `default-server`.

use std::time::Duration;

use crate::parameters::{Parameters, UnsupportedParameter};
use crate::report::{Disposition, Report};
use crate::values::{TomlTable, parse_count, parse_span};

/// The options of a `server` line, or of `default-server`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each one is a keyword that is present or absent")]
pub(crate) struct ServerOptions {
    pub(crate) weight: Option<u32>,
    pub(crate) backup: bool,
    pub(crate) disabled: bool,
    pub(crate) maxconn: Option<u32>,
    pub(crate) maxqueue: Option<u32>,
    pub(crate) checked: bool,
    pub(crate) inter: Option<Duration>,
    pub(crate) fastinter: Option<Duration>,
    pub(crate) downinter: Option<Duration>,
    pub(crate) rise: Option<u32>,
    pub(crate) fall: Option<u32>,
    pub(crate) slowstart: Option<Duration>,
    pub(crate) observe: bool,
    pub(crate) error_limit: Option<u32>,
    pub(crate) on_error: Option<String>,
    pub(crate) shutdown_sessions: bool,
    pub(crate) init_state: Option<String>,
    pub(crate) check_port: Option<u32>,
    pub(crate) proxy_protocol: Option<&'static str>,
    pub(crate) resolvers: Option<String>,
    /// Why the server cannot be converted, whatever its other options are.
    rejection: Option<&'static str>,
    tls: bool,
}

const TLS: &str =
    "dormouse does not use TLS to servers; let the server accept plain connections (a UNIX socket, loopback)";
const SOURCE: &str = "the kernel chooses the source address of connections";
const AGENT: &str = "dormouse has no agent checks; set weights and states through the control socket";
const HTTP: &str = "applies to HTTP only";
const NAMES: &str = "dormouse tries every address of a name, and resolves the name again after 10 s";

/// Parameters without an equivalent.
const UNSUPPORTED: &[UnsupportedParameter] = &[
    ("check-ssl", 0, Disposition::Omit("checks do not use TLS")),
    ("verify", 1, Disposition::Ignore),
    ("verifyhost", 1, Disposition::Ignore),
    ("ca-file", 1, Disposition::Ignore),
    ("crt", 1, Disposition::Ignore),
    ("crl-file", 1, Disposition::Ignore),
    ("sni", 1, Disposition::Ignore),
    ("check-sni", 1, Disposition::Ignore),
    ("alpn", 1, Disposition::Ignore),
    ("check-alpn", 1, Disposition::Ignore),
    ("npn", 1, Disposition::Ignore),
    ("ciphers", 1, Disposition::Ignore),
    ("ciphersuites", 1, Disposition::Ignore),
    ("ssl-min-ver", 1, Disposition::Ignore),
    ("ssl-max-ver", 1, Disposition::Ignore),
    ("no-check-ssl", 0, Disposition::Ignore),
    ("no-verifyhost", 0, Disposition::Ignore),
    ("no-ssl-reuse", 0, Disposition::Ignore),
    ("no-tls-tickets", 0, Disposition::Ignore),
    ("id", 1, Disposition::Ignore),
    ("cookie", 1, Disposition::Note(HTTP)),
    ("redir", 1, Disposition::Note(HTTP)),
    ("proto", 1, Disposition::Note(HTTP)),
    ("check-proto", 1, Disposition::Note(HTTP)),
    ("max-reuse", 1, Disposition::Ignore),
    ("pool-low-conn", 1, Disposition::Ignore),
    ("pool-max-conn", 1, Disposition::Ignore),
    ("pool-purge-delay", 1, Disposition::Ignore),
    ("non-stick", 0, Disposition::Ignore),
    ("log-proto", 1, Disposition::Ignore),
    ("check-send-proxy", 0, Disposition::Ignore),
    ("check-via-socks4", 0, Disposition::Ignore),
    ("no-agent-check", 0, Disposition::Ignore),
    ("no-tfo", 0, Disposition::Ignore),
    (
        "init-addr",
        1,
        Disposition::Note("dormouse starts even if the name has no address yet, and resolves it again"),
    ),
    ("resolve-opts", 1, Disposition::Note(NAMES)),
    ("resolve-prefer", 1, Disposition::Note(NAMES)),
    ("resolve-net", 1, Disposition::Omit(NAMES)),
    ("agent-check", 0, Disposition::Omit(AGENT)),
    ("agent-port", 1, Disposition::Omit(AGENT)),
    ("agent-addr", 1, Disposition::Omit(AGENT)),
    ("agent-inter", 1, Disposition::Omit(AGENT)),
    ("agent-send", 1, Disposition::Omit(AGENT)),
    ("addr", 1, Disposition::Omit("a check connects to the address of the server")),
    ("minconn", 1, Disposition::Omit("the maxconn of a server does not change with the load")),
    ("source", 1, Disposition::Omit(SOURCE)),
    (
        "usesrc",
        1,
        Disposition::Omit("the server sees the address of dormouse; send-proxy sends the client address"),
    ),
    ("interface", 1, Disposition::Omit(SOURCE)),
    ("tfo", 0, Disposition::Omit("dormouse does not use TCP Fast Open towards servers")),
    ("tcp-ut", 1, Disposition::Omit("timeout.client, timeout.server and keepalive detect dead peers")),
    ("track", 1, Disposition::Omit("each server is checked separately; write its check")),
    ("on-marked-up", 1, Disposition::Omit("sessions stay on a backup server when another server comes back")),
    (
        "proxy-v2-options",
        1,
        Disposition::Omit(
            "dormouse supports only unique-id, for all servers of a service: proxy_protocol = { unique_id = true }",
        ),
    ),
    ("set-proxy-v2-tlv-fmt", 1, Disposition::Omit("the PROXY header has no custom fields")),
    (
        "send-proxy-v2-ssl",
        0,
        Disposition::Reject(
            "the PROXY header cannot contain TLS information, because dormouse does not use TLS",
        ),
    ),
    (
        "send-proxy-v2-ssl-cn",
        0,
        Disposition::Reject(
            "the PROXY header cannot contain TLS information, because dormouse does not use TLS",
        ),
    ),
    (
        "namespace",
        1,
        Disposition::Reject(
            "the server is in another network namespace; run dormouse there (NetworkNamespacePath= in its unit)",
        ),
    ),
    ("socks4", 1, Disposition::Reject("dormouse does not support SOCKS proxies")),
    ("ws", 1, Disposition::Note(HTTP)),
];

/// Parameters of a server that cannot be the keyword of another line.
const CONTINUATION_WORDS: [&str; 22] = [
    "check",
    "inter",
    "fastinter",
    "downinter",
    "rise",
    "fall",
    "weight",
    "backup",
    "slowstart",
    "observe",
    "error-limit",
    "on-error",
    "on-marked-down",
    "on-marked-up",
    "send-proxy",
    "send-proxy-v2",
    "maxqueue",
    "minconn",
    "port",
    "resolvers",
    "init-addr",
    "no-check",
];

/// Returns whether a line that starts with this word continues a `server` line.
pub(crate) fn is_continuation(word: &str) -> bool {
    CONTINUATION_WORDS.contains(&word)
}

/// Reads options; each replaces the current value.
pub(crate) fn read(options: &mut ServerOptions, mut words: Parameters<'_>, report: &mut Report) {
    while let Some(word) = words.next() {
        let mut number = |report: &mut Report| words.value(word, report, parse_count);
        match word {
            "weight" => options.weight = number(report).or(options.weight),
            "maxconn" => options.maxconn = number(report).or(options.maxconn),
            "maxqueue" => options.maxqueue = number(report).or(options.maxqueue),
            "rise" => options.rise = number(report).or(options.rise),
            "fall" => options.fall = number(report).or(options.fall),
            "error-limit" => options.error_limit = number(report).or(options.error_limit),
            "port" => options.check_port = number(report).or(options.check_port),
            "inter" => options.inter = words.value(word, report, parse_span).or(options.inter),
            "fastinter" => options.fastinter = words.value(word, report, parse_span).or(options.fastinter),
            "downinter" => options.downinter = words.value(word, report, parse_span).or(options.downinter),
            "slowstart" => options.slowstart = words.value(word, report, parse_span).or(options.slowstart),
            "backup" => options.backup = true,
            "no-backup" => options.backup = false,
            "disabled" => options.disabled = true,
            "enabled" => options.disabled = false,
            "ssl" => options.tls = true,
            "no-ssl" => options.tls = false,
            "check" => options.checked = true,
            "no-check" => options.checked = false,
            "send-proxy" => options.proxy_protocol = Some("v1"),
            "send-proxy-v2" => options.proxy_protocol = Some("v2"),
            "no-send-proxy" | "no-send-proxy-v2" => options.proxy_protocol = None,
            "observe" => observe(options, &mut words, report),
            "on-error" => {
                let modes = ["fastinter", "fail-check", "sudden-death", "mark-down"];
                let read = |text: &str| modes.contains(&text).then(|| text.to_owned());
                options.on_error = words.value(word, report, read).or(options.on_error.take());
            }
            "on-marked-down" => {
                let read = |text: &str| match text {
                    "shutdown-sessions" => Some(true),
                    "none" => Some(false),
                    _ => None,
                };
                options.shutdown_sessions =
                    words.value(word, report, read).unwrap_or(options.shutdown_sessions);
            }
            "init-state" => {
                let states = ["up", "fully-up", "down", "fully-down"];
                let read = |text: &str| states.contains(&text).then(|| text.to_owned());
                options.init_state = words.value(word, report, read).or(options.init_state.take());
            }
            "resolvers" => options.resolvers = words.text(word, report).map(str::to_owned),
            _ => {
                options.rejection =
                    words.unsupported(word, UNSUPPORTED, "server", report).or(options.rejection);
            }
        }
    }
}

fn observe(options: &mut ServerOptions, words: &mut Parameters<'_>, report: &mut Report) {
    match words.text("observe", report) {
        Some("layer4") => options.observe = true,
        Some("none") => options.observe = false,
        Some("layer7") => {
            options.observe = false;
            report.omit(
                words.statement,
                "observe layer7 is not converted: it applies to HTTP only; observe layer4 counts connections",
            );
        }
        Some(other) => report.omit(words.statement, format!("invalid value for observe: {other}")),
        None => {}
    }
}

impl ServerOptions {
    /// Returns the reason if the server cannot be converted.
    pub(crate) fn rejection(&self) -> Option<&'static str> {
        self.rejection.or(self.tls.then_some(TLS))
    }

    /// Returns the table `check`. `method` holds the keys of the check method.
    pub(crate) fn check(&self, timeout: Option<Duration>, method: &TomlTable) -> TomlTable {
        let mut table = TomlTable::default();
        table.span("inter", Some(self.inter.unwrap_or(Duration::from_secs(2))));
        table.span("fastinter", self.fastinter);
        table.span("downinter", self.downinter);
        table.number("rise", self.rise);
        table.number("fall", self.fall);
        table.span("timeout", timeout);
        table.0.extend(method.0.iter().cloned());
        table.text("init", self.init_state.as_deref());
        if self.observe {
            table.text("observe", Some("layer4"));
            table.number("error_limit", self.error_limit);
            table.text("on_error", self.on_error.as_deref());
        }
        table.text("on_marked_down", self.shutdown_sessions.then_some("shutdown-sessions"));
        table.span("slowstart", self.slowstart);
        table
    }
}
