//! Addresses to connect to.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use crate::dns::Source;

use super::host::parse_host_and_port;
use super::{AbstractName, AddressError, Host, Port, UnixPath, unix::is_socket_name, vsock};

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// `/path`: a UNIX socket in the file system.
    Unix(UnixPath),
    /// `@name`: a UNIX socket in the abstract namespace.
    Abstract(AbstractName),
    /// `vsock:CID:PORT`: a port of a virtual machine or of its host.
    Vsock {
        /// The context id.
        cid: u32,
        /// The port.
        port: u32,
    },
    /// A slot for one server of a DNS source. It has no text form that can be parsed.
    Slot {
        /// The DNS source.
        source: Source,
        /// The number of the slot, from 0.
        slot: u16,
    },
    /// `HOST:PORT` or `HOST`: TCP.
    Tcp {
        /// The host.
        host: Host,
        /// The port, 80 if none was given.
        port: Port,
    },
}

impl Target {
    /// Parses a target as systemd-socket-proxyd does, with additional forms for IPv6 addresses in brackets and vsock.
    ///
    /// # Errors
    /// An [`AddressError`] if the target can never work. The message does not repeat the text.
    pub fn parse(text: &OsStr) -> Result<Self, AddressError> {
        match text.as_bytes() {
            [] => return Err(AddressError::Empty),
            [b'/', ..] => return UnixPath::parse(text).map(Self::Unix),
            [b'@', name @ ..] => return AbstractName::parse(name).map(Self::Abstract),
            _ => {}
        }
        let text = text
            .to_str()
            .ok_or_else(|| AddressError::HostNameNotAscii(text.to_string_lossy().into_owned()))?;
        if let Some(rest) = text.strip_prefix("vsock:") {
            let (cid, port) = vsock::parse(rest)?;
            let cid = cid.ok_or(AddressError::VsockCidMissing { port })?;
            return Ok(Self::Vsock { cid, port });
        }
        // As a host name, `vsock` would only be useful with the default port. `vsock.` is the host.
        if text == "vsock" {
            return Err(AddressError::VsockWithoutCid { port: String::new() });
        }
        refuse_other_notations(text)?;
        let (host, port) = parse_host_and_port(text)?;
        Ok(Self::Tcp { host, port: port.unwrap_or(Port::HTTP) })
    }
}

impl fmt::Display for Target {
    /// Prints the target so that it can be parsed again (unless a UNIX name is not UTF-8).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.fmt(f),
            Self::Abstract(name) => name.fmt(f),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Self::Slot { source, slot } => write!(f, "{source} ({})", slot + 1),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Rejects the notations of other programs, with an error that shows the notation of dormouse.
fn refuse_other_notations(text: &str) -> Result<(), AddressError> {
    if let Some(address) = ["tcp:", "unix:"].iter().find_map(|prefix| text.strip_prefix(prefix)) {
        // `unix:PORT` and `tcp:PORT` are hosts with a port.
        if address.contains([':', '/', '@']) {
            return Err(AddressError::UnsupportedPrefix {
                address: address.trim_start_matches("//").to_owned(),
            });
        }
    }
    if text.contains('/') {
        return Err(if text.contains("://") {
            AddressError::Url
        } else {
            AddressError::RelativePath { path: text.to_owned() }
        });
    }
    if is_socket_name(text) && !text.contains(':') {
        return Err(AddressError::RelativePath { path: text.to_owned() });
    }
    Ok(())
}
