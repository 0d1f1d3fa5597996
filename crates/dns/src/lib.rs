//! Servers by name: `dns:NAME:PORT` and `srv:NAME`. A task queries the DNS when answers expire, and publishes the set of
//! servers whenever it changes.
//!
//! The meaning of an answer and the time of the next query are decided in `dormouse_core::names`.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod client;
mod dns_log;
mod resolv_conf;
pub mod wire;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dormouse_core::dns::{
    Answer, NameState, Server, ServiceRecord, Source, servers_from_addresses, servers_from_records,
};
use dormouse_log::Log;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use client::{Query, ask};
use dns_log::DnsLog;
use resolv_conf::ResolvConf;
use wire::Reply;

/// The DNS resolvers to query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolvers {
    /// The resolvers in `/etc/resolv.conf`, which is read again for each query.
    System,
    /// A list of resolvers, in order of preference.
    Servers(Vec<SocketAddr>),
}

/// The current servers of a name.
pub type Servers = watch::Receiver<Arc<[Server]>>;

/// Follows a name. The caller runs the future, which queries the DNS until the last receiver is dropped.
pub fn follow(
    source: Source,
    resolvers: Resolvers,
    label: String,
    log: Log,
) -> (Servers, impl Future<Output = ()> + Send) {
    let (sender, servers) = watch::channel(Arc::from([]));
    let following = async move {
        let now = Instant::now().into_std();
        let mut keeper = NameState::new(now);
        let mut dns_log = DnsLog::new(source.clone(), label, log, now);
        loop {
            tokio::select! {
                () = sleep_until(keeper.next_query().into()) => {}
                () = sender.closed() => return,
            }
            let answer = tokio::select! {
                answer = look_up(&source, &resolvers) => answer,
                () = sender.closed() => return,
            };
            let now = Instant::now().into_std();
            let events = keeper.record_answer(now, answer);
            dns_log.answered(now, &events, keeper.servers());
            if **sender.borrow() != *keeper.servers() {
                sender.send_replace(keeper.servers().into());
            }
        }
    };
    (servers, following)
}

/// Queries the servers of a name once.
pub async fn look_up(source: &Source, resolvers: &Resolvers) -> Answer {
    let resolvers = match resolvers {
        Resolvers::System => ResolvConf::system(),
        Resolvers::Servers(servers) => ResolvConf::with_servers(servers),
    };
    let answer = match source {
        Source::Addresses { name, port } => addresses(&resolvers, name)
            .await
            .map(|(addresses, ttl)| (servers_from_addresses(addresses, port.get()), ttl)),
        Source::Services { name } => services(&resolvers, name).await,
    };
    match answer {
        Ok((servers, ttl)) if servers.is_empty() => Answer::NoServers(ttl),
        Ok((servers, ttl)) => Answer::Servers(servers, ttl),
        Err(why) => Answer::Failed(why),
    }
}

async fn addresses(resolvers: &ResolvConf, name: &str) -> Result<(Vec<IpAddr>, Duration), String> {
    match ask(resolvers, name, Query::Addresses).await? {
        Reply::Addresses(addresses, ttl) => Ok((addresses, ttl)),
        Reply::NoRecords(ttl) => Ok((Vec::new(), ttl)),
        Reply::Services(..) | Reply::Truncated | Reply::ServerError(_) => Err("unexpected reply".to_owned()),
    }
}

async fn services(resolvers: &ResolvConf, name: &str) -> Result<(Vec<Server>, Duration), String> {
    let (records, mut shortest) = match ask(resolvers, name, Query::Services).await? {
        Reply::Services(records, ttl) => (records, ttl),
        Reply::NoRecords(ttl) => return Ok((Vec::new(), ttl)),
        Reply::Addresses(..) | Reply::Truncated | Reply::ServerError(_) => {
            return Err("unexpected reply".to_owned());
        }
    };
    let mut found = Vec::with_capacity(records.len());
    for record in records {
        let mut service = ServiceRecord {
            priority: record.priority,
            weight: record.weight,
            port: record.port,
            addresses: record.addresses,
        };
        // The root as target means that the service does not exist here (RFC 2782).
        if service.addresses.is_empty() && !record.target.trim_end_matches('.').is_empty() {
            let target = format!("{}.", record.target.trim_end_matches('.'));
            let (addresses, ttl) = addresses(resolvers, &target).await?;
            if !addresses.is_empty() {
                shortest = shortest.min(ttl);
            }
            service.addresses = addresses;
        }
        found.push(service);
    }
    Ok((servers_from_records(&found), shortest))
}
