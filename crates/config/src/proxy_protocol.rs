//! PROXY protocol settings: which clients must send a header, and which header the server gets.

use dormouse_core::network::Network;
use dormouse_core::proxy_protocol::Version;

/// The clients that send a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sources {
    /// Every client.
    All,
    /// Clients with these addresses and local clients; all others are plain clients.
    Networks(Vec<Network>),
}

/// The header that the server gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendProxy {
    /// A line of text: the addresses.
    V1,
    /// The addresses and further fields.
    V2(Additions),
}

/// The fields of a version 2 header besides the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Additions {
    /// A unique identifier of the session.
    pub unique_id: bool,
    /// The user, group and process of a local client.
    pub credentials: bool,
    /// The TLVs of an accepted header.
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
    /// Returns the version of the protocol.
    pub fn version(self) -> Version {
        match self {
            Self::V1 => Version::V1,
            Self::V2(_) => Version::V2,
        }
    }
}
