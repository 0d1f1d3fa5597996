//! `bind`: the addresses that a service listens on.

use std::net::{IpAddr, Ipv6Addr};

use dormouse_core::address::ListenAddress;

use crate::parameters::{Parameters, UnsupportedParameter};
use crate::report::{Disposition, Report, Statement};
use crate::values::parse_count;

/// The listeners of one `bind` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) statement: Statement,
    pub(crate) addresses: Vec<Address>,
    pub(crate) options: BindOptions,
}

/// A listen address without its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp { host: IpAddr, port: u16 },
    Unix(String),
    Abstract(String),
}

/// The options of a `bind` line, or of `unix-bind` in the global section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each one is a keyword that is present or absent")]
pub(crate) struct BindOptions {
    pub(crate) prefix: String,
    mode: Option<String>,
    owner: Option<String>,
    group: Option<String>,
    v6only: bool,
    backlog: Option<u32>,
    interface: Option<String>,
    defer_accept: bool,
    fast_open: bool,
    transparent: bool,
    pub(crate) accept_proxy: bool,
    /// The control socket has level admin: its clients have full rights.
    pub(crate) admin_level: bool,
    /// Why the listener cannot be converted.
    rejection: Option<&'static str>,
}

const TLS: &str = "dormouse does not terminate TLS, and without ssl the listener would accept unencrypted connections; terminate \
                   TLS in the server, or keep HAProxy for this listener";
const ONE_THREAD: &str = "dormouse uses one thread";

/// Parameters without an equivalent.
const UNSUPPORTED: &[UnsupportedParameter] = &[
    ("ssl", 0, Disposition::Reject(TLS)),
    ("crt", 1, Disposition::Ignore),
    ("crt-list", 1, Disposition::Ignore),
    ("ca-file", 1, Disposition::Ignore),
    ("crl-file", 1, Disposition::Ignore),
    ("verify", 1, Disposition::Ignore),
    ("alpn", 1, Disposition::Ignore),
    ("npn", 1, Disposition::Ignore),
    ("ciphers", 1, Disposition::Ignore),
    ("ciphersuites", 1, Disposition::Ignore),
    ("curves", 1, Disposition::Ignore),
    ("ecdhe", 1, Disposition::Ignore),
    ("ssl-min-ver", 1, Disposition::Ignore),
    ("ssl-max-ver", 1, Disposition::Ignore),
    ("strict-sni", 0, Disposition::Ignore),
    ("no-sslv3", 0, Disposition::Ignore),
    ("no-tlsv10", 0, Disposition::Ignore),
    ("no-tlsv11", 0, Disposition::Ignore),
    ("no-tlsv12", 0, Disposition::Ignore),
    ("no-tls-tickets", 0, Disposition::Ignore),
    ("allow-0rtt", 0, Disposition::Ignore),
    ("prefer-client-ciphers", 0, Disposition::Ignore),
    ("name", 1, Disposition::Ignore),
    ("id", 1, Disposition::Ignore),
    ("nice", 1, Disposition::Ignore),
    ("expose-fd", 1, Disposition::Ignore),
    ("severity-output", 1, Disposition::Ignore),
    ("proto", 1, Disposition::Note("applies to HTTP only")),
    ("process", 1, Disposition::Note(ONE_THREAD)),
    ("thread", 1, Disposition::Note(ONE_THREAD)),
    ("shards", 1, Disposition::Note(ONE_THREAD)),
    ("maxconn", 1, Disposition::Omit("maxconn applies to the whole service; see the maxconn of the service")),
    ("mss", 1, Disposition::Omit("the kernel chooses the segment size")),
    ("tcp-ut", 1, Disposition::Omit("timeout.client and keepalive detect dead clients")),
    ("tls-ticket-keys", 1, Disposition::Ignore),
    (
        "accept-netscaler-cip",
        1,
        Disposition::Reject(
            "dormouse does not read this header, so the server would receive it as client data",
        ),
    ),
    (
        "namespace",
        1,
        Disposition::Reject(
            "the address is in another network namespace; pass the socket from a socket unit in that namespace (fd:NAME)",
        ),
    ),
];

/// The most sockets of one line. A range of ports needs a socket for each port.
const MAX_SOCKETS: usize = 256;

/// Reads `bind ADDRESS[,…] …`, with the defaults of `unix-bind`.
pub(crate) fn bind(statement: &Statement, unix: &BindOptions, report: &mut Report) -> Option<Bind> {
    let mut own = BindOptions::default();
    options(&mut own, Parameters::new(statement, 2), report);
    if let Some(reason) = own.rejection {
        report.omit(statement, reason);
        return None;
    }
    if own.transparent {
        report.note(
            statement,
            "transparent: dormouse listens on an address that does not exist yet (?freebind), but does not intercept connections",
        );
    }
    let mut addresses = Vec::new();
    for text in statement.word(1).split(',') {
        match address(text, &unix.prefix) {
            Ok(found) => match found.iter().find_map(Address::error) {
                None => addresses.extend(found),
                Some(reason) => report.omit(statement, reason),
            },
            Err(reason) => report.omit(statement, reason),
        }
    }
    if addresses.len() > MAX_SOCKETS {
        report.omit(
            statement,
            format!("more than {MAX_SOCKETS} sockets; pass them from a socket unit (fd:NAME)"),
        );
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
            "HAProxy pads abstract names with zero bytes to their full length, which no other program does; dormouse \
             uses the name as written",
        );
    }
    (!addresses.is_empty()).then(|| Bind { statement: statement.clone(), addresses, options: own })
}

/// Reads options; each replaces the current value.
pub(crate) fn options(options: &mut BindOptions, mut words: Parameters<'_>, report: &mut Report) {
    while let Some(word) = words.next() {
        match word {
            "prefix" => words.text(word, report).unwrap_or_default().clone_into(&mut options.prefix),
            "mode" => options.mode = words.value(word, report, mode).or(options.mode.take()),
            "user" | "uid" => options.owner = words.text(word, report).map(str::to_owned),
            "group" | "gid" => options.group = words.text(word, report).map(str::to_owned),
            "v6only" => options.v6only = true,
            "v4v6" => options.v6only = false,
            "backlog" => {
                let backlog = words.value(word, report, parse_count).filter(|backlog| *backlog > 0);
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
                options.admin_level = words.value(word, report, read).unwrap_or(false);
            }
            _ => {
                options.rejection =
                    words.unsupported(word, UNSUPPORTED, "listener", report).or(options.rejection);
            }
        }
    }
}

fn mode(text: &str) -> Option<String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777)?;
    Some(format!("{mode:04o}"))
}

/// Reads one address. A range of ports gives several.
fn address(text: &str, prefix: &str) -> Result<Vec<Address>, String> {
    let (family, rest) = text.split_once('@').unwrap_or(("", text));
    match family {
        "" if text.starts_with('/') => return Ok(vec![Address::Unix(format!("{prefix}{text}"))]),
        "unix" => {
            let path = format!("{prefix}{rest}");
            return if path.starts_with('/') {
                Ok(vec![Address::Unix(path)])
            } else {
                Err(format!("{rest}: the path of a UNIX socket must start with /"))
            };
        }
        "abns" | "abnsz" => return Ok(vec![Address::Abstract(format!("@{rest}"))]),
        "fd" | "sockpair" => {
            return Err("dormouse identifies passed sockets by name; write fd:NAME, with FileDescriptorName=NAME in the socket unit"
                .to_owned());
        }
        "" | "ipv4" | "ipv6" | "tcp" | "tcp4" | "tcp6" => {}
        other => return Err(format!("dormouse does not listen on {other}@ addresses")),
    }
    let (host, ports) = rest.rsplit_once(':').ok_or_else(|| format!("{text}: missing port"))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = match (host, family) {
        ("" | "*", "ipv6" | "tcp6") => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ("" | "*", _) => IpAddr::from([0, 0, 0, 0]),
        ("localhost", "ipv6" | "tcp6") => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ("localhost", _) => IpAddr::from([127, 0, 0, 1]),
        (host, _) => host
            .parse()
            .map_err(|_| format!("{host}: not an IP address; write the IP address to listen on"))?,
    };
    let no_ports = || format!("{ports}: not a port; write a number from 1 to 65535, or a range");
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let (first, last) =
        port(first).zip(port(last)).filter(|(first, last)| first <= last).ok_or_else(no_ports)?;
    Ok((first..=last).take(MAX_SOCKETS + 1).map(|port| Address::Tcp { host, port }).collect())
}

impl Address {
    /// Returns the reason if dormouse cannot listen on the address.
    fn error(&self) -> Option<String> {
        let text = match self {
            Self::Tcp { host, port } => std::net::SocketAddr::new(*host, *port).to_string(),
            Self::Unix(text) | Self::Abstract(text) => text.clone(),
        };
        if text.contains('?') {
            return Some(format!(
                "{text}: a question mark starts the options of a listener; choose a path without one"
            ));
        }
        ListenAddress::parse(&text).err().map(|error| format!("{text}: {error}"))
    }
}

impl Bind {
    /// Returns the values of `listen`. `backlog` is the limit of the section, `maxconn` of the service.
    pub(crate) fn listen(&self, backlog: Option<u32>, maxconn: Option<u32>) -> Vec<String> {
        self.addresses.iter().map(|address| self.options.listen_value(address, backlog, maxconn)).collect()
    }
}

impl BindOptions {
    /// Returns the address with its options.
    fn listen_value(&self, address: &Address, backlog: Option<u32>, maxconn: Option<u32>) -> String {
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
                // HAProxy sets one second, and a queue as long as the backlog.
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

    /// Returns the value of `control` for `stats socket ADDRESS`.
    pub(crate) fn control_address(&self, text: &str) -> Result<String, String> {
        let [address] = address(text, &self.prefix)?
            .try_into()
            .map_err(|_| "the control socket has one address".to_owned())?;
        Ok(self.listen_value(&address, None, None))
    }
}
