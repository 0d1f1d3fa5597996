//! The programs under test: how each is found and started.

mod haproxy;
mod listening;
mod nginx;
mod parameters;
mod peers;
mod podman;
mod sleeping;
mod start;
mod subject;

pub(crate) use parameters::{StartParameters, Variant};
pub(crate) use peers::{default_peers, direct, dormouse, other_dormouse, peer, peer_names};
pub(crate) use sleeping::{SleepingServer, WakeParameters};
pub(crate) use start::Proxy;
pub(crate) use subject::{DIRECT, DORMOUSE, FLOOR, HAPROXY, HAPROXY_2, Kind, NGINX, SOCKET_PROXYD, Subject};
