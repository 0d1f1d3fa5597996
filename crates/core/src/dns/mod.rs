//! Servers by name: what an answer of the DNS means, when to ask again, and what becomes of servers that are not in the
//! answer any more.
//!
//! Answers and the time go in; the set of servers and the time of the next question come out.

mod name_state;
mod slots;
mod source;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use name_state::{NameEvent, NameState};
pub use slots::{SlotChange, Slots};
pub use source::{Source, SourceError};

/// A name has no more servers than this; what is beyond is left out.
pub const MAX_SERVERS: usize = 256;

/// The weight of a server that has as much as any.
pub const MAX_WEIGHT: u16 = 256;

/// A server that a name has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server {
    /// Lower ones serve first; the others stand by.
    pub priority: u16,
    /// Where it is.
    pub address: SocketAddr,
    /// Its share among those of its priority, from 1 to [`MAX_WEIGHT`].
    pub weight: u16,
}

/// A service record (SRV, RFC 2782), with the addresses of its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRecord {
    /// Lower ones serve first.
    pub priority: u16,
    /// Its share among those of its priority; 0 is next to none.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// Where its target is.
    pub addresses: Vec<IpAddr>,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The name has these servers, and for how long that may be believed.
    Servers(Vec<Server>, Duration),
    /// There is no such name, or it has no servers.
    NoServers(Duration),
    /// Nobody answered, or not to the question.
    Failed(String),
}

/// The servers of a name that has addresses.
pub fn servers_from_addresses(addresses: impl IntoIterator<Item = IpAddr>, port: u16) -> Vec<Server> {
    let server = |ip| Server { priority: 0, address: SocketAddr::new(ip, port), weight: 1 };
    normalize(addresses.into_iter().map(server).collect())
}

/// The servers of a name that has service records. Weights are scaled down where they go beyond [`MAX_WEIGHT`].
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
        // Port 0 and the root's name as a target say that there is no such service here.
        servers.extend(addresses.iter().filter(|_| *port > 0).map(server));
    }
    normalize(servers)
}

/// Sorted, each address once (with the priority that serves first), and no more than [`MAX_SERVERS`].
fn normalize(mut servers: Vec<Server>) -> Vec<Server> {
    servers.sort_unstable();
    let mut seen = std::collections::HashSet::new();
    servers.retain(|server| seen.insert(server.address));
    servers.truncate(MAX_SERVERS);
    servers
}

/// What is different between two sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerDiff {
    /// They are new.
    pub added: Vec<Server>,
    /// They are not there any more: their sessions end by themselves, and they get no new ones.
    pub removed: Vec<Server>,
    /// They have another weight or priority, which are these.
    pub changed: Vec<Server>,
}

impl ServerDiff {
    /// What turns one set into the other. Which server it is, its address says.
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
