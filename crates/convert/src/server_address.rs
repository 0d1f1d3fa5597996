//! The address of a server.

use std::net::Ipv6Addr;

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerAddress {
    /// A complete address, as dormouse writes it.
    Fixed(String),
    /// The port of the listener plus an offset.
    ListenerPort { host: String, offset: i32 },
    /// A name that stands for any number of servers (`dns:` or `srv:`).
    Resolved(String),
}

impl ServerAddress {
    /// Reads an address. The error is a message.
    pub(crate) fn parse(address: &str) -> Result<Self, String> {
        if address.starts_with('/') {
            return Ok(Self::Fixed(address.to_owned()));
        }
        let (family, rest) = address.split_once('@').unwrap_or(("", address));
        match family {
            "unix" if rest.starts_with('/') => return Ok(Self::Fixed(rest.to_owned())),
            "unix" => return Err("the path of a UNIX socket must start with /".to_owned()),
            "abnsz" => return Ok(Self::Fixed(format!("@{rest}"))),
            "abns" => {
                return Err(
                    "HAProxy pads abstract names with zero bytes to their full length, which no other program does; let \
                     the server listen on a path, or on a plain abstract name (@NAME)"
                        .to_owned(),
                );
            }
            "" | "ipv4" | "ipv6" | "tcp" | "tcp4" | "tcp6" => {}
            other => return Err(format!("dormouse does not connect to {other}@ addresses")),
        }
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => rest.rsplit_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        if matches!(host, "" | "*" | "0.0.0.0" | "::") {
            return Err(
                "this stands for the destination of the client, which needs a transparent proxy; write the address of \
                 the server"
                    .to_owned(),
            );
        }
        let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() };
        let offset = |port: &str| port.starts_with(['+', '-']).then(|| port.parse().ok()).flatten();
        match port {
            None | Some("") => Ok(Self::ListenerPort { host, offset: 0 }),
            Some(port) => match offset(port) {
                Some(offset) => Ok(Self::ListenerPort { host, offset }),
                None => Ok(Self::Fixed(format!("{host}:{port}"))),
            },
        }
    }
}
