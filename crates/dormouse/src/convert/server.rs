//! `server`, `default-server` and `server-template`.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::report::{Report, Statement};
use super::values::{Table, count, span};
use super::words::{Fate, Fateful, Parameters};

/// What stands behind a server's address, or behind `default-server`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word that stands there or not")]
pub(super) struct Options {
    pub(super) weight: Option<u32>,
    pub(super) backup: bool,
    pub(super) disabled: bool,
    pub(super) maxconn: Option<u32>,
    pub(super) maxqueue: Option<u32>,
    pub(super) checked: bool,
    pub(super) inter: Option<Duration>,
    pub(super) fastinter: Option<Duration>,
    pub(super) downinter: Option<Duration>,
    pub(super) rise: Option<u32>,
    pub(super) fall: Option<u32>,
    pub(super) slowstart: Option<Duration>,
    pub(super) observe: bool,
    pub(super) error_limit: Option<u32>,
    pub(super) on_error: Option<String>,
    pub(super) end_when_down: bool,
    pub(super) init: Option<String>,
    pub(super) check_port: Option<u32>,
    pub(super) header: Option<&'static str>,
    pub(super) resolvers: Option<String>,
    /// Why it cannot be taken over, with or without these options.
    barred: Option<&'static str>,
    tls: bool,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) statement: Statement,
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) options: Options,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Written as it is meant here.
    Fixed(String),
    /// At the port where the client arrived, or so many behind it.
    Following { host: String, offset: i32 },
    /// All that a name has.
    Names(String),
}

const TLS: &str =
    "dormouse speaks no TLS to servers; let the server take plain connections (a UNIX socket, loopback)";
const SOURCE: &str = "the kernel chooses the address that a connection comes from";
const AGENT: &str = "there are no agent checks; use the control socket to set weights and states";
const HTTP: &str = "it concerns HTTP only";
const NAMES: &str = "every address of a name is tried, and a name is asked for again after 10 s";

/// Words of a server that have no counterpart.
const OTHERS: &[Fateful] = &[
    ("check-ssl", 0, Fate::Left("checks speak no TLS")),
    ("verify", 1, Fate::Needless),
    ("verifyhost", 1, Fate::Needless),
    ("ca-file", 1, Fate::Needless),
    ("crt", 1, Fate::Needless),
    ("crl-file", 1, Fate::Needless),
    ("sni", 1, Fate::Needless),
    ("check-sni", 1, Fate::Needless),
    ("alpn", 1, Fate::Needless),
    ("check-alpn", 1, Fate::Needless),
    ("npn", 1, Fate::Needless),
    ("ciphers", 1, Fate::Needless),
    ("ciphersuites", 1, Fate::Needless),
    ("ssl-min-ver", 1, Fate::Needless),
    ("ssl-max-ver", 1, Fate::Needless),
    ("no-check-ssl", 0, Fate::Needless),
    ("no-verifyhost", 0, Fate::Needless),
    ("no-ssl-reuse", 0, Fate::Needless),
    ("no-tls-tickets", 0, Fate::Needless),
    ("id", 1, Fate::Needless),
    ("cookie", 1, Fate::Note(HTTP)),
    ("redir", 1, Fate::Note(HTTP)),
    ("proto", 1, Fate::Note(HTTP)),
    ("check-proto", 1, Fate::Note(HTTP)),
    ("max-reuse", 1, Fate::Needless),
    ("pool-low-conn", 1, Fate::Needless),
    ("pool-max-conn", 1, Fate::Needless),
    ("pool-purge-delay", 1, Fate::Needless),
    ("non-stick", 0, Fate::Needless),
    ("log-proto", 1, Fate::Needless),
    ("check-send-proxy", 0, Fate::Needless),
    ("check-via-socks4", 0, Fate::Needless),
    ("no-agent-check", 0, Fate::Needless),
    ("no-tfo", 0, Fate::Needless),
    (
        "init-addr",
        1,
        Fate::Note("a server whose name has no address yet is tried again; nothing fails at start"),
    ),
    ("resolve-opts", 1, Fate::Note(NAMES)),
    ("resolve-prefer", 1, Fate::Note(NAMES)),
    ("resolve-net", 1, Fate::Left(NAMES)),
    ("agent-check", 0, Fate::Left(AGENT)),
    ("agent-port", 1, Fate::Left(AGENT)),
    ("agent-addr", 1, Fate::Left(AGENT)),
    ("agent-inter", 1, Fate::Left(AGENT)),
    ("agent-send", 1, Fate::Left(AGENT)),
    ("addr", 1, Fate::Left("a server is checked where it is served from")),
    ("minconn", 1, Fate::Left("a server's maxconn does not move with the load; maxconn stands as it is")),
    ("source", 1, Fate::Left(SOURCE)),
    ("usesrc", 1, Fate::Left("the server sees dormouse's address; send-proxy tells it the client's")),
    ("interface", 1, Fate::Left(SOURCE)),
    ("tfo", 0, Fate::Left("connections to servers are opened in the ordinary way")),
    ("tcp-ut", 1, Fate::Left("timeout.client, timeout.server and keepalive find peers that are gone")),
    ("track", 1, Fate::Left("each server is checked for itself; write its check")),
    ("on-marked-up", 1, Fate::Left("sessions on a backup server go on when another server is back")),
    (
        "proxy-v2-options",
        1,
        Fate::Left(
            "of these there is unique-id, for all servers of a service: proxy_protocol = { unique_id = true }",
        ),
    ),
    ("set-proxy-v2-tlv-fmt", 1, Fate::Left("the header carries no fields of one's own")),
    ("send-proxy-v2-ssl", 0, Fate::Bars("the header cannot tell of TLS, which dormouse does not speak")),
    ("send-proxy-v2-ssl-cn", 0, Fate::Bars("the header cannot tell of TLS, which dormouse does not speak")),
    (
        "namespace",
        1,
        Fate::Bars(
            "it is in another network namespace; run dormouse there (NetworkNamespacePath= in its unit)",
        ),
    ),
    ("socks4", 1, Fate::Bars("dormouse does not go through SOCKS proxies")),
    ("ws", 1, Fate::Note(HTTP)),
];

/// Words of a server that nobody takes for the beginning of a statement.
const CONTINUED: [&str; 22] = [
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

/// Whether a line that begins with this word was meant to continue a server's.
pub(super) fn continues(word: &str) -> bool {
    CONTINUED.contains(&word)
}

/// Reads options over those that are there.
pub(super) fn options(options: &mut Options, mut words: Parameters<'_>, report: &mut Report) {
    while let Some(word) = words.next() {
        let mut number = |report: &mut Report| words.value(word, report, count);
        match word {
            "weight" => options.weight = number(report).or(options.weight),
            "maxconn" => options.maxconn = number(report).or(options.maxconn),
            "maxqueue" => options.maxqueue = number(report).or(options.maxqueue),
            "rise" => options.rise = number(report).or(options.rise),
            "fall" => options.fall = number(report).or(options.fall),
            "error-limit" => options.error_limit = number(report).or(options.error_limit),
            "port" => options.check_port = number(report).or(options.check_port),
            "inter" => options.inter = words.value(word, report, span).or(options.inter),
            "fastinter" => options.fastinter = words.value(word, report, span).or(options.fastinter),
            "downinter" => options.downinter = words.value(word, report, span).or(options.downinter),
            "slowstart" => options.slowstart = words.value(word, report, span).or(options.slowstart),
            "backup" => options.backup = true,
            "no-backup" => options.backup = false,
            "disabled" => options.disabled = true,
            "enabled" => options.disabled = false,
            "ssl" => options.tls = true,
            "no-ssl" => options.tls = false,
            "check" => options.checked = true,
            "no-check" => options.checked = false,
            "send-proxy" => options.header = Some("v1"),
            "send-proxy-v2" => options.header = Some("v2"),
            "no-send-proxy" | "no-send-proxy-v2" => options.header = None,
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
                options.end_when_down = words.value(word, report, read).unwrap_or(options.end_when_down);
            }
            "init-state" => {
                let states = ["up", "fully-up", "down", "fully-down"];
                let read = |text: &str| states.contains(&text).then(|| text.to_owned());
                options.init = words.value(word, report, read).or(options.init.take());
            }
            "resolvers" => options.resolvers = words.text(word, report).map(str::to_owned),
            _ => options.barred = words.fate(word, OTHERS, "server", report).or(options.barred),
        }
    }
}

fn observe(options: &mut Options, words: &mut Parameters<'_>, report: &mut Report) {
    match words.text("observe", report) {
        Some("layer4") => options.observe = true,
        Some("none") => options.observe = false,
        Some("layer7") => {
            options.observe = false;
            report.left(
                words.statement,
                "observe layer7 is left out: only HTTP has it; observe layer4 counts connections",
            );
        }
        Some(other) => report.left(words.statement, format!("observe {other} is not what observe takes")),
        None => {}
    }
}

/// Reads `server NAME ADDRESS …`, over what `default-server` said.
pub(super) fn server(statement: &Statement, defaults: &Options, report: &mut Report) -> Option<Server> {
    let (name, address) = (statement.word(1), statement.word(2));
    if address.is_empty() {
        report.left(statement, "a server has a name and an address; HAProxy refuses this line, too");
        return None;
    }
    let mut own = defaults.clone();
    options(&mut own, Parameters::new(statement, 3), report);
    match place(address) {
        Ok(place) => {
            Some(Server { statement: statement.clone(), name: name.to_owned(), place, options: own })
        }
        Err(why) => {
            report.left(statement, why);
            None
        }
    }
}

/// Reads `server-template PREFIX COUNT NAME[:PORT] …`: one server for all that the name has.
pub(super) fn template(statement: &Statement, defaults: &Options, report: &mut Report) -> Option<Server> {
    let (prefix, address) = (statement.word(1), statement.word(3));
    if address.is_empty() {
        report
            .left(statement, "a template has a prefix, a number and a name; HAProxy refuses this line, too");
        return None;
    }
    let mut own = defaults.clone();
    options(&mut own, Parameters::new(statement, 4), report);
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let place = if address.starts_with('_') {
        Place::Names(format!("srv:{host}"))
    } else if host.parse::<IpAddr>().is_ok() || !address.contains(':') || address.contains(['/', '@']) {
        report.left(
            statement,
            "a template needs a name that DNS knows, and a port; write a server for each address",
        );
        return None;
    } else {
        Place::Names(format!("dns:{address}"))
    };
    report.note(
        statement,
        "there are as many servers as the name has addresses, not a fixed number of places for them",
    );
    Some(Server { statement: statement.clone(), name: prefix.to_owned(), place, options: own })
}

/// Reads a server's address.
fn place(address: &str) -> Result<Place, String> {
    if address.starts_with('/') {
        return Ok(Place::Fixed(address.to_owned()));
    }
    let (family, rest) = address.split_once('@').unwrap_or(("", address));
    match family {
        "unix" if rest.starts_with('/') => return Ok(Place::Fixed(rest.to_owned())),
        "unix" => return Err("the path of a UNIX socket has to begin with /; write it in full".to_owned()),
        "abnsz" => return Ok(Place::Fixed(format!("@{rest}"))),
        "abns" => {
            return Err(
                "HAProxy fills abstract names with zero bytes to their full length, which no other program \
                        does; let the server listen on a path, or under a plain abstract name (@NAME)"
                    .to_owned(),
            );
        }
        "" | "ipv4" | "ipv6" | "tcp" | "tcp4" | "tcp6" => {}
        other => return Err(format!("{other}@ is a kind of address that dormouse does not connect to")),
    }
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => rest.rsplit_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    if matches!(host, "" | "*" | "0.0.0.0" | "::") {
        return Err(
            "it is the client's own destination, which needs a transparent proxy; write the server's address"
                .to_owned(),
        );
    }
    let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() };
    let offset = |port: &str| port.starts_with(['+', '-']).then(|| port.parse().ok()).flatten();
    match port {
        None | Some("") => Ok(Place::Following { host, offset: 0 }),
        Some(port) => match offset(port) {
            Some(offset) => Ok(Place::Following { host, offset }),
            None => Ok(Place::Fixed(format!("{host}:{port}"))),
        },
    }
}

impl Options {
    /// Why the server cannot be taken over, if so.
    pub(super) fn barred(&self) -> Option<&'static str> {
        self.barred.or(self.tls.then_some(TLS))
    }

    /// The table `check`.
    pub(super) fn check(&self, timeout: Option<Duration>, probe: &Table) -> Table {
        let mut table = Table::default();
        table.span("inter", Some(self.inter.unwrap_or(Duration::from_secs(2))));
        table.span("fastinter", self.fastinter);
        table.span("downinter", self.downinter);
        table.number("rise", self.rise);
        table.number("fall", self.fall);
        table.span("timeout", timeout);
        table.0.extend(probe.0.iter().cloned());
        table.text("init", self.init.as_deref());
        if self.observe {
            table.text("observe", Some("layer4"));
            table.number("error_limit", self.error_limit);
            table.text("on_error", self.on_error.as_deref());
        }
        table.text("on_marked_down", self.end_when_down.then_some("shutdown-sessions"));
        table.span("slowstart", self.slowstart);
        table
    }
}
