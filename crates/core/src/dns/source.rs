//! DNS names as server addresses: `dns:NAME:PORT` and `srv:NAME`.

use std::fmt;
use std::num::NonZeroU16;

/// A DNS source of servers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// `dns:NAME:PORT`: each address of the name is a server at this port.
    Addresses {
        /// The name.
        name: String,
        /// The port.
        port: NonZeroU16,
    },
    /// `srv:NAME`: the service records of the name contain the servers, with ports, weights and priorities.
    Services {
        /// The name, which usually begins with `_SERVICE._tcp`.
        name: String,
    },
}

/// Why a text is not a DNS source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceError {
    /// The name is missing or is not a valid DNS name.
    Name(String),
    /// The port is missing or is not a port number.
    Port(String),
    /// `srv:NAME` has a port, but service records have their own ports.
    ServicePort,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "{name:?} is not a DNS name; use letters, digits, '-' and '_' in labels separated by dots, at most 253 characters"
            ),
            Self::Port(port) => {
                write!(f, "{port:?} is not a port; write dns:NAME:PORT, with a port from 1 to 65535")
            }
            Self::ServicePort => {
                f.write_str("service records contain the port; write srv:NAME without a port")
            }
        }
    }
}

impl std::error::Error for SourceError {}

impl Source {
    /// Reads `dns:NAME:PORT` or `srv:NAME`. Returns `None` for other texts: `dns` or `srv` alone is a host name, and
    /// `dns:53` is a host with a port.
    ///
    /// # Errors
    /// A [`SourceError`] if the name or the port is not valid.
    pub fn parse(text: &str) -> Option<Result<Self, SourceError>> {
        let (kind, rest) = text.split_once(':')?;
        if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        match kind {
            "dns" => Some(Self::addresses(rest)),
            "srv" if rest.contains(':') => Some(Err(SourceError::ServicePort)),
            "srv" => Some(name(rest).map(|name| Self::Services { name })),
            _ => None,
        }
    }

    fn addresses(text: &str) -> Result<Self, SourceError> {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| SourceError::Port(String::new()))?;
        let number = port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()));
        let port = number.ok_or_else(|| SourceError::Port(port.to_owned()))?;
        Ok(Self::Addresses { name: name(host)?, port })
    }
}

fn name(text: &str) -> Result<String, SourceError> {
    let labels = text.strip_suffix('.').unwrap_or(text);
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let numeric = labels.split('.').all(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if labels.len() > 253 || numeric || !labels.split('.').all(fits) {
        return Err(SourceError::Name(text.to_owned()));
    }
    Ok(text.to_owned())
}

impl fmt::Display for Source {
    /// Prints the source so that it can be parsed again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses { name, port } => write!(f, "dns:{name}:{port}"),
            Self::Services { name } => write!(f, "srv:{name}"),
        }
    }
}
