//! The options of a listener.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use dormouse_core::timespan::TimeSpan;

/// The options of a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenOptions {
    /// The largest number of clients that wait to be accepted; `None`: the limit of the kernel (net.core.somaxconn).
    pub backlog: Option<NonZeroU32>,
    /// The options of the file of a UNIX socket.
    pub file: FileOptions,
    /// The options of a TCP socket.
    pub tcp: TcpOptions,
}

/// The permissions and owners of the file of a UNIX socket; `None`: those of the umask and the user of dormouse.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileOptions {
    /// The permissions.
    pub mode: Option<u32>,
    /// The user.
    pub owner: Option<Owner>,
    /// The group.
    pub group: Option<Owner>,
}

/// A user or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The name in the configuration.
    pub name: String,
    /// The id.
    pub id: u32,
}

/// Options of a TCP socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Whether `[::]` excludes IPv4.
    pub v6only: bool,
    /// Whether the machine may lack the address.
    pub freebind: bool,
    /// Accept a client at its first byte, or after about this time.
    pub defer_accept: Option<Duration>,
    /// The largest number of clients at once that send data with their first packet.
    pub fast_open: Option<NonZeroU32>,
    /// The only network interface to accept clients from.
    pub interface: Option<String>,
}

impl ListenOptions {
    /// Returns the names and values of the options that are set; the value of a switch is empty.
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
    /// Writes the options as they follow an address: `?mode=0660&group=www-data`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.words().into_iter().enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            let equals = if value.is_empty() { "" } else { "=" };
            write!(f, "{mark}{name}{equals}{value}")?;
        }
        Ok(())
    }
}
