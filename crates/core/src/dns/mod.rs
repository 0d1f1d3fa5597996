//! Servers found by DNS: the meaning of an answer, the time of the next query, and what happens to servers that an
//! answer no longer contains.
//!
//! Answers and the time go in; the set of servers and the time of the next query come out.

mod name_state;
mod slots;
mod source;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use name_state::{NameEvent, NameState};
pub use slots::{SlotChange, Slots};
pub use source::{Source, SourceError};

/// The largest number of servers of one name. Further servers are ignored.
pub const MAX_SERVERS: usize = 256;

/// The largest weight of a server.
pub const MAX_WEIGHT: u16 = 256;

/// A server found by DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server {
    /// The priority. Servers with a larger number are backups.
    pub priority: u16,
    /// The address.
    pub address: SocketAddr,
    /// The share among the servers of the same priority, from 1 to [`MAX_WEIGHT`].
    pub weight: u16,
}

/// A service record (SRV, RFC 2782) with the addresses of its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRecord {
    /// The priority. Lower numbers come first.
    pub priority: u16,
    /// The share among the records of the same priority. 0 means a very small share.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The addresses of the target.
    pub addresses: Vec<IpAddr>,
}

/// The result of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The servers of the name, and the TTL of the answer.
    Servers(Vec<Server>, Duration),
    /// The name does not exist or has no servers, and the TTL of the answer.
    NoServers(Duration),
    /// The query failed, with the reason.
    Failed(String),
}

/// Returns the servers of a name with address records.
pub fn servers_from_addresses(addresses: impl IntoIterator<Item = IpAddr>, port: u16) -> Vec<Server> {
    let server = |ip| Server { priority: 0, address: SocketAddr::new(ip, port), weight: 1 };
    normalize(addresses.into_iter().map(server).collect())
}

/// Returns the servers of a name with service records. Weights are scaled down if one is above [`MAX_WEIGHT`].
pub fn servers_from_records(services: &[ServiceRecord]) -> Vec<Server> {
    let most = services.iter().map(|service| service.weight).max().unwrap_or_default();
    let scaled = |weight: u16| {
        let (weight, most, limit) = (u32::from(weight), u32::from(most), u32::from(MAX_WEIGHT));
        let share = if most > limit { weight * limit / most } else { weight };
        u16::try_from(share.max(1)).unwrap_or(MAX_WEIGHT)
    };
    let mut servers = Vec::new();
    for ServiceRecord { priority, weight, port, addresses } in services {
        let server = |ip: &IpAddr| Server {
            priority: *priority,
            address: SocketAddr::new(*ip, *port),
            weight: scaled(*weight),
        };
        // Port 0, or the root as the target, means that the service is not available here.
        servers.extend(addresses.iter().filter(|_| *port > 0).map(server));
    }
    normalize(servers)
}

/// Sorts the servers, keeps each address once (with the best priority), and limits their number to [`MAX_SERVERS`].
fn normalize(mut servers: Vec<Server>) -> Vec<Server> {
    servers.sort_unstable();
    let mut seen = std::collections::HashSet::new();
    servers.retain(|server| seen.insert(server.address));
    servers.truncate(MAX_SERVERS);
    servers
}

/// The difference between two sets of servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerDiff {
    /// The new servers.
    pub added: Vec<Server>,
    /// The servers that are gone: they get no new sessions, and their sessions end by themselves.
    pub removed: Vec<Server>,
    /// The servers with a new weight or priority.
    pub changed: Vec<Server>,
}

impl ServerDiff {
    /// Returns the difference between two sets. The address identifies a server.
    pub fn between(before: &[Server], after: &[Server]) -> Self {
        let find = |set: &[Server], server: &Server| {
            set.iter().find(|other| other.address == server.address).copied()
        };
        Self {
            added: after.iter().filter(|server| find(before, server).is_none()).copied().collect(),
            removed: before.iter().filter(|server| find(after, server).is_none()).copied().collect(),
            changed: after
                .iter()
                .filter(|server| find(before, server).is_some_and(|other| other != **server))
                .copied()
                .collect(),
        }
    }
}
