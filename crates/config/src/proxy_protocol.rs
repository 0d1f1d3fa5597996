//! PROXY protocol settings: which clients must send a header, and which header the server gets.

use dormouse_core::network::Network;
use dormouse_core::proxy_protocol::Version;

/// Who begins with a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sources {
    /// Every client.
    Everybody,
    /// Clients of these addresses, and local ones; the others are plain clients.
    Networks(Vec<Network>),
}

/// The header that the server gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendProxy {
    /// A line of text: the addresses.
    V1,
    /// The addresses, and what else there is to be told.
    V2(Additions),
}

/// What a version 2 header tells besides the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Additions {
    /// A name for the session that no other has.
    pub unique_id: bool,
    /// A local client's user, group and process.
    pub credentials: bool,
    /// What the proxy before us has told.
    pub pass: bool,
}

impl Default for Additions {
    fn default() -> Self {
        Self { unique_id: false, credentials: false, pass: true }
    }
}

impl From<Version> for SendProxy {
    fn from(version: Version) -> Self {
        match version {
            Version::V1 => Self::V1,
            Version::V2 => Self::V2(Additions::default()),
        }
    }
}

impl SendProxy {
    /// The version of the protocol.
    pub fn version(self) -> Version {
        match self {
            Self::V1 => Version::V1,
            Self::V2(_) => Version::V2,
        }
    }
}
