//! How a listener is opened, beside where.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use dormouse_core::timespan::TimeSpan;

/// How a listener is opened, beside where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenOptions {
    /// How many clients may wait to be accepted. `None`: as many as the kernel allows (net.core.somaxconn).
    pub backlog: Option<NonZeroU32>,
    /// Of a UNIX socket's file.
    pub file: FileOptions,
    /// Of a TCP socket.
    pub tcp: TcpOptions,
}

/// Who may use a UNIX socket's file; as the umask and our own user say where it is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileOptions {
    /// Its permissions.
    pub mode: Option<u32>,
    /// Its user.
    pub owner: Option<Owner>,
    /// Its group.
    pub group: Option<Owner>,
}

/// A user or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// As it was written.
    pub name: String,
    /// Its number.
    pub id: u32,
}

/// Options of a TCP socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// All addresses are all IPv6 addresses.
    pub v6only: bool,
    /// The address may be one that the machine does not have yet.
    pub freebind: bool,
    /// A client is accepted when its first byte is there, or after about so long without one.
    pub defer_accept: Option<Duration>,
    /// So many clients at once may send bytes with their first packet.
    pub fast_open: Option<NonZeroU32>,
    /// Only what arrives at this network interface.
    pub interface: Option<String>,
}

impl ListenOptions {
    /// The names of those that are set, and their values; empty for what takes none.
    pub fn words(&self) -> Vec<(&'static str, String)> {
        let Self { backlog, file, tcp } = self;
        let name = |owner: &Owner| owner.name.clone();
        let switch = |on: bool| on.then(String::new);
        [
            ("mode", file.mode.map(|mode| format!("{mode:04o}"))),
            ("owner", file.owner.as_ref().map(name)),
            ("group", file.group.as_ref().map(name)),
            ("v6only", switch(tcp.v6only)),
            ("freebind", switch(tcp.freebind)),
            ("interface", tcp.interface.clone()),
            ("defer_accept", tcp.defer_accept.map(|span| TimeSpan::Finite(span).to_string())),
            ("fastopen", tcp.fast_open.map(|pending| pending.to_string())),
            ("backlog", backlog.map(|backlog| backlog.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

impl fmt::Display for ListenOptions {
    /// As they stand behind an address: `?mode=0660&group=www-data`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.words().into_iter().enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            let equals = if value.is_empty() { "" } else { "=" };
            write!(f, "{mark}{name}{equals}{value}")?;
        }
        Ok(())
    }
}
