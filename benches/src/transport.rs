//! The socket families on the two sides of the proxy.

use std::{fmt, str::FromStr};

use crate::{
    error::{Error, Result},
    net::Family,
};

/// The socket families on the two sides of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Transport {
    /// TCP on both sides.
    Tcp,
    /// UNIX sockets on both sides.
    Unix,
    /// TCP clients, a UNIX backend.
    Bridge,
}

impl Transport {
    pub(crate) const ALL: [Self; 3] = [Self::Tcp, Self::Unix, Self::Bridge];

    /// Returns the name that `--transport` accepts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
            Self::Bridge => "bridge",
        }
    }

    pub(crate) fn client_side(self) -> Family {
        match self {
            Self::Tcp | Self::Bridge => Family::Tcp,
            Self::Unix => Family::Unix,
        }
    }

    pub(crate) fn server_side(self) -> Family {
        match self {
            Self::Tcp => Family::Tcp,
            Self::Unix | Self::Bridge => Family::Unix,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP → proxy → TCP",
            Self::Unix => "UNIX → proxy → UNIX",
            Self::Bridge => "TCP → proxy → UNIX",
        })
    }
}

impl FromStr for Transport {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|transport| transport.name() == text)
            .ok_or_else(|| Error::Usage(format!("unknown transport: {text}")))
    }
}
