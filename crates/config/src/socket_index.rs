//! Finds the sockets that may conflict with another one, without a comparison with each: a configuration may have many.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dormouse_core::address::{AbstractName, Host, ListenAddress, Port, Target, UnixPath};

use super::model::Listen;

/// Sockets by their addresses. Each has a number, and they are added in the order of their numbers.
#[derive(Debug, Default)]
pub struct SocketIndex {
    numbers: HashMap<Spot, Vec<usize>>,
}

/// A property that conflicting sockets have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Spot {
    Unix(UnixPath),
    Abstract(AbstractName),
    Vsock(u32),
    Inherited(String),
    /// All sockets of a TCP port.
    Port(u16),
    /// The sockets of a TCP port for all addresses.
    Wildcard(u16),
    Tcp(IpAddr, u16),
}

impl SocketIndex {
    /// Adds a socket. A socket whose port the kernel chooses conflicts with no other, and is left out.
    pub fn insert(&mut self, number: usize, listen: &Listen) {
        let spots = match listen {
            Listen::Inherited(name) => vec![Spot::Inherited(name.clone())],
            Listen::Open { address, .. } => match address {
                ListenAddress::Unix(path) => vec![Spot::Unix(path.clone())],
                ListenAddress::Abstract(name) => vec![Spot::Abstract(name.clone())],
                ListenAddress::Vsock { port, .. } => vec![Spot::Vsock(*port)],
                ListenAddress::Tcp(tcp) if tcp.port() == 0 => Vec::new(),
                ListenAddress::Tcp(tcp) => vec![Spot::Port(tcp.port()), own_spot(tcp.ip(), tcp.port())],
            },
        };
        for spot in spots {
            self.numbers.entry(spot).or_default().push(number);
        }
    }

    /// Returns the first socket that conflicts with this one, as `conflicts` says. It is asked only about sockets that
    /// may do so.
    pub fn first(&self, listen: &Listen, mut conflicts: impl FnMut(usize) -> bool) -> Option<usize> {
        let spots = match listen {
            Listen::Inherited(name) => vec![Spot::Inherited(name.clone())],
            Listen::Open { address, .. } => match address {
                ListenAddress::Unix(path) => vec![Spot::Unix(path.clone())],
                ListenAddress::Abstract(name) => vec![Spot::Abstract(name.clone())],
                ListenAddress::Vsock { port, .. } => vec![Spot::Vsock(*port)],
                ListenAddress::Tcp(tcp) if tcp.ip().is_unspecified() => vec![Spot::Port(tcp.port())],
                ListenAddress::Tcp(tcp) => {
                    vec![Spot::Wildcard(tcp.port()), Spot::Tcp(tcp.ip(), tcp.port())]
                }
            },
        };
        let firsts = spots.iter().filter_map(|spot| {
            let mut numbers = self.numbers.get(spot)?.iter().copied();
            numbers.find(|number| {
                #[cfg(test)]
                COMPARISONS.with(|count| count.set(count.get() + 1));
                conflicts(*number)
            })
        });
        firsts.min()
    }

    /// Returns the sockets at which a connection to a target may arrive.
    pub(super) fn reached_by(&self, target: &Target) -> Vec<usize> {
        let spots = match target {
            Target::Unix(path) => vec![Spot::Unix(path.clone())],
            Target::Abstract(name) => vec![Spot::Abstract(name.clone())],
            Target::Tcp { host, port: Port::Number(port) } => {
                let port = port.get();
                let ips: &[IpAddr] = match host {
                    Host::Ip(ip) => &[*ip],
                    Host::Loopback | Host::Name(_) => {
                        &[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
                    }
                    Host::Scoped { .. } => return Vec::new(),
                };
                let own = ips.iter().map(|ip| own_spot(*ip, port)).filter(|own| *own != Spot::Wildcard(port));
                own.chain([Spot::Wildcard(port)]).collect()
            }
            _ => return Vec::new(),
        };
        spots.iter().filter_map(|spot| self.numbers.get(spot)).flatten().copied().collect()
    }
}

fn own_spot(ip: IpAddr, port: u16) -> Spot {
    if ip.is_unspecified() { Spot::Wildcard(port) } else { Spot::Tcp(ip, port) }
}

#[cfg(test)]
thread_local! {
    /// The number of comparisons of two sockets in this thread.
    pub(super) static COMPARISONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
