//! Which question a server's address stands for.

use std::fmt;
use std::num::NonZeroU16;

/// A name to be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// `dns:NAME:PORT`: each of its addresses is a server, all at this port.
    Addresses {
        /// The name.
        name: String,
        /// The port.
        port: NonZeroU16,
    },
    /// `srv:NAME`: its service records say where and at which ports, with weights and priorities.
    Services {
        /// The name, which usually begins with `_SERVICE._tcp`.
        name: String,
    },
}

/// Why it is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceError {
    /// There is no name, or not one that a question can be asked for.
    Name(String),
    /// There is no port, or it is no number.
    Port(String),
    /// A service record has its own port.
    ServicePort,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "{name:?} is no name of the DNS; it is made of letters, digits, '-' and '_', with dots between, 253 at most"
            ),
            Self::Port(port) => {
                write!(f, "{port:?} is no port; write dns:NAME:PORT, with a number from 1 to 65535")
            }
            Self::ServicePort => {
                f.write_str("service records have ports of their own; write srv:NAME without one")
            }
        }
    }
}

impl std::error::Error for SourceError {}

impl Source {
    /// Reads `dns:NAME:PORT` or `srv:NAME`; `None` if it is neither. `dns` and `srv` without a colon behind it are
    /// hosts, and with a number behind it hosts with a port.
    ///
    /// # Errors
    /// A [`SourceError`] if no question can be asked for it.
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
    /// Prints it so that it can be parsed again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses { name, port } => write!(f, "dns:{name}:{port}"),
            Self::Services { name } => write!(f, "srv:{name}"),
        }
    }
}
