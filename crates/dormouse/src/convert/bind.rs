//! `bind`: where clients arrive.

use std::net::{IpAddr, Ipv6Addr};

use dormouse_core::address::ListenAddress;

use super::report::{Report, Statement};
use super::values::count;
use super::words::{Fate, Fateful, Parameters};

/// The listeners of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bind {
    pub(super) statement: Statement,
    pub(super) addresses: Vec<Address>,
    pub(super) options: Options,
}

/// An address, as `listen` takes it without what may follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Tcp { host: IpAddr, port: u16 },
    Unix(String),
    Abstract(String),
}

/// What stands behind the address, or behind `unix-bind` in the global section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word that stands there or not")]
pub(super) struct Options {
    pub(super) prefix: String,
    mode: Option<String>,
    owner: Option<String>,
    group: Option<String>,
    v6only: bool,
    backlog: Option<u32>,
    interface: Option<String>,
    defer_accept: bool,
    fast_open: bool,
    transparent: bool,
    pub(super) accept_proxy: bool,
    /// Whoever reaches the control socket may do all.
    pub(super) is_for_admins: bool,
    barred: Option<&'static str>,
}

const TLS: &str = "dormouse takes TLS to the server as it is and does not end it; without ssl the listener would take \
                   unprotected connections. Let the server end TLS, or keep HAProxy for this listener";
const ONE_THREAD: &str = "everything runs on one thread";

const OTHERS: &[Fateful] = &[
    ("ssl", 0, Fate::Bars(TLS)),
    ("crt", 1, Fate::Needless),
    ("crt-list", 1, Fate::Needless),
    ("ca-file", 1, Fate::Needless),
    ("crl-file", 1, Fate::Needless),
    ("verify", 1, Fate::Needless),
    ("alpn", 1, Fate::Needless),
    ("npn", 1, Fate::Needless),
    ("ciphers", 1, Fate::Needless),
    ("ciphersuites", 1, Fate::Needless),
    ("curves", 1, Fate::Needless),
    ("ecdhe", 1, Fate::Needless),
    ("ssl-min-ver", 1, Fate::Needless),
    ("ssl-max-ver", 1, Fate::Needless),
    ("strict-sni", 0, Fate::Needless),
    ("no-sslv3", 0, Fate::Needless),
    ("no-tlsv10", 0, Fate::Needless),
    ("no-tlsv11", 0, Fate::Needless),
    ("no-tlsv12", 0, Fate::Needless),
    ("no-tls-tickets", 0, Fate::Needless),
    ("allow-0rtt", 0, Fate::Needless),
    ("prefer-client-ciphers", 0, Fate::Needless),
    ("name", 1, Fate::Needless),
    ("id", 1, Fate::Needless),
    ("nice", 1, Fate::Needless),
    ("expose-fd", 1, Fate::Needless),
    ("severity-output", 1, Fate::Needless),
    ("proto", 1, Fate::Note("it concerns HTTP only")),
    ("process", 1, Fate::Note(ONE_THREAD)),
    ("thread", 1, Fate::Note(ONE_THREAD)),
    ("shards", 1, Fate::Note(ONE_THREAD)),
    ("maxconn", 1, Fate::Left("maxconn counts for the whole service here; see its maxconn")),
    ("mss", 1, Fate::Left("the kernel chooses the segments' size")),
    ("tcp-ut", 1, Fate::Left("timeout.client and keepalive find clients that are gone")),
    ("tls-ticket-keys", 1, Fate::Needless),
    (
        "accept-netscaler-cip",
        1,
        Fate::Bars("the header of this kind is not understood; the client's bytes would begin with it"),
    ),
    (
        "namespace",
        1,
        Fate::Bars("it is in another network namespace; let a socket unit there pass it in (fd:NAME)"),
    ),
];

/// The most addresses of one line: a range of ports is a socket for each.
const MOST: usize = 256;

/// Reads `bind ADDRESS[,…] …`, over what `unix-bind` said.
pub(super) fn bind(statement: &Statement, unix: &Options, report: &mut Report) -> Option<Bind> {
    let mut own = Options::default();
    options(&mut own, Parameters::new(statement, 2), report);
    if let Some(why) = own.barred {
        report.left(statement, why);
        return None;
    }
    if own.transparent {
        report.note(
            statement,
            "transparent: the address need not be there yet (?freebind); nothing else of it is kept",
        );
    }
    let mut addresses = Vec::new();
    for text in statement.word(1).split(',') {
        match address(text, &unix.prefix) {
            Ok(found) => match found.iter().find_map(Address::problem) {
                None => addresses.extend(found),
                Some(why) => report.left(statement, why),
            },
            Err(why) => report.left(statement, why),
        }
    }
    if addresses.len() > MOST {
        report.left(statement, format!("more than {MOST} sockets; a socket unit can pass them in (fd:NAME)"));
        return None;
    }
    if addresses.iter().any(|address| matches!(address, Address::Unix(_))) {
        own.mode = own.mode.or_else(|| unix.mode.clone());
        own.owner = own.owner.or_else(|| unix.owner.clone());
        own.group = own.group.or_else(|| unix.group.clone());
    }
    if addresses.iter().any(|address| matches!(address, Address::Abstract(_)))
        && statement.text.contains("abns@")
    {
        report.note(
            statement,
            "HAProxy fills abstract names with zero bytes to their full length, which no other program does; here the \
             name is as it is written",
        );
    }
    (!addresses.is_empty()).then(|| Bind { statement: statement.clone(), addresses, options: own })
}

/// Reads options over those that are there.
pub(super) fn options(options: &mut Options, mut words: Parameters<'_>, report: &mut Report) {
    while let Some(word) = words.next() {
        match word {
            "prefix" => words.text(word, report).unwrap_or_default().clone_into(&mut options.prefix),
            "mode" => options.mode = words.value(word, report, mode).or(options.mode.take()),
            "user" | "uid" => options.owner = words.text(word, report).map(str::to_owned),
            "group" | "gid" => options.group = words.text(word, report).map(str::to_owned),
            "v6only" => options.v6only = true,
            "v4v6" => options.v6only = false,
            "backlog" => {
                let backlog = words.value(word, report, count).filter(|backlog| *backlog > 0);
                options.backlog = backlog.or(options.backlog);
            }
            "interface" => options.interface = words.text(word, report).map(str::to_owned),
            "defer-accept" => options.defer_accept = true,
            "tfo" => options.fast_open = true,
            "transparent" => options.transparent = true,
            "accept-proxy" => options.accept_proxy = true,
            "level" => {
                let levels = [("admin", true), ("operator", false), ("user", false)];
                let read =
                    |text: &str| levels.iter().find(|(level, _)| *level == text).map(|(_, admin)| *admin);
                options.is_for_admins = words.value(word, report, read).unwrap_or(false);
            }
            _ => options.barred = words.fate(word, OTHERS, "listener", report).or(options.barred),
        }
    }
}

fn mode(text: &str) -> Option<String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777)?;
    Some(format!("{mode:04o}"))
}

/// Reads one address; a range of ports is several.
fn address(text: &str, prefix: &str) -> Result<Vec<Address>, String> {
    let (family, rest) = text.split_once('@').unwrap_or(("", text));
    match family {
        "" if text.starts_with('/') => return Ok(vec![Address::Unix(format!("{prefix}{text}"))]),
        "unix" => {
            let path = format!("{prefix}{rest}");
            return if path.starts_with('/') {
                Ok(vec![Address::Unix(path)])
            } else {
                Err(format!("{rest}: the path of a UNIX socket has to begin with /; write it in full"))
            };
        }
        "abns" | "abnsz" => return Ok(vec![Address::Abstract(format!("@{rest}"))]),
        "fd" | "sockpair" => {
            return Err("sockets are passed in by name here; write fd:NAME, with FileDescriptorName=NAME in the socket unit"
                .to_owned());
        }
        "" | "ipv4" | "ipv6" | "tcp" | "tcp4" | "tcp6" => {}
        other => return Err(format!("{other}@ is a kind of address that dormouse does not listen on")),
    }
    let (host, ports) = rest.rsplit_once(':').ok_or_else(|| format!("{text}: a port is missing"))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = match (host, family) {
        ("" | "*", "ipv6" | "tcp6") => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ("" | "*", _) => IpAddr::from([0, 0, 0, 0]),
        ("localhost", "ipv6" | "tcp6") => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ("localhost", _) => IpAddr::from([127, 0, 0, 1]),
        (host, _) => {
            host.parse().map_err(|_| format!("{host} is no address; write the IP address to listen on"))?
        }
    };
    let no_ports = || format!("{ports} is no port; write a number from 1 to 65535, or a range");
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let (first, last) =
        port(first).zip(port(last)).filter(|(first, last)| first <= last).ok_or_else(no_ports)?;
    Ok((first..=last).take(MOST + 1).map(|port| Address::Tcp { host, port }).collect())
}

impl Address {
    /// Why nothing can listen there, if so.
    fn problem(&self) -> Option<String> {
        let text = match self {
            Self::Tcp { host, port } => std::net::SocketAddr::new(*host, *port).to_string(),
            Self::Unix(text) | Self::Abstract(text) => text.clone(),
        };
        if text.contains('?') {
            return Some(format!(
                "{text}: a question mark begins the parameters of a listener; choose a name without"
            ));
        }
        ListenAddress::parse(&text).err().map(|error| format!("{text}: {error}"))
    }
}

impl Bind {
    /// The values of `listen`. `backlog` is the section's, `maxconn` the service's.
    pub(super) fn listen(&self, backlog: Option<u32>, maxconn: Option<u32>) -> Vec<String> {
        self.addresses.iter().map(|address| self.options.with(address, backlog, maxconn)).collect()
    }
}

impl Options {
    /// The address with what belongs to it behind it.
    fn with(&self, address: &Address, backlog: Option<u32>, maxconn: Option<u32>) -> String {
        let backlog = self.backlog.or(backlog);
        let mut parameters = Vec::new();
        let mut named = |name: &str, value: Option<String>| {
            parameters.extend(value.map(|value| format!("{name}={value}")));
        };
        let text = match address {
            Address::Unix(path) => {
                named("mode", self.mode.clone());
                named("owner", self.owner.clone());
                named("group", self.group.clone());
                path.clone()
            }
            Address::Abstract(name) => name.clone(),
            Address::Tcp { host, port } => {
                // One second is what HAProxy tells the kernel, and its queue is as long as the backlog.
                named("defer_accept", self.defer_accept.then(|| "1s".to_owned()));
                let queue = backlog.or(maxconn).unwrap_or(1024);
                named("fastopen", self.fast_open.then(|| queue.to_string()));
                named("interface", self.interface.clone());
                let switches = [("v6only", self.v6only && host.is_ipv6()), ("freebind", self.transparent)];
                parameters.extend(switches.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()));
                std::net::SocketAddr::new(*host, *port).to_string()
            }
        };
        parameters.extend(backlog.map(|backlog| format!("backlog={backlog}")));
        if parameters.is_empty() { text } else { format!("{text}?{}", parameters.join("&")) }
    }

    /// What `stats socket` says, at this address.
    pub(super) fn at(&self, text: &str) -> Result<String, String> {
        let [address] =
            address(text, &self.prefix)?.try_into().map_err(|_| "one address is enough".to_owned())?;
        Ok(self.with(&address, None, None))
    }
}
