//! Names to addresses, off the data path: asked once for all sessions that wait, kept for a while, and kept on when
//! the resolver fails later.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dormouse_core::address::{Host, Port};
use dormouse_sys::resolve::{ResolveError, lookup, lookup_numeric};
use tokio::time::{Instant, timeout};

use super::{Addresses, Endpoint};

/// How long an answer is fresh (`hold valid` of haproxy).
const FRESH: Duration = Duration::from_secs(10);
/// How long a failed question is not asked again.
const FAILED: Duration = Duration::from_secs(1);
/// A session that has an old answer waits at most so long for a new one.
const PATIENCE_WITH_ANSWER: Duration = Duration::from_millis(250);
/// And without one so long: the C library's resolver gives up after 5 s × 2 tries × 3 servers at the latest.
const PATIENCE: Duration = Duration::from_secs(35);

/// Completes what needs no resolver; names get a cache.
pub(super) fn prepare(host: &Host, port: &Port) -> Result<Addresses, ResolveError> {
    let service = port.to_string();
    let number = match port {
        Port::Number(number) => number.get(),
        Port::Service(_) => service_port(&service)?,
    };
    let fixed =
        |addresses: Vec<SocketAddr>| Addresses::Fixed(addresses.into_iter().map(Endpoint::Inet).collect());
    Ok(match host {
        Host::Ip(ip) => fixed(vec![SocketAddr::new(*ip, number)]),
        Host::Loopback => {
            fixed(vec![(Ipv6Addr::LOCALHOST, number).into(), (Ipv4Addr::LOCALHOST, number).into()])
        }
        Host::Scoped { addr, zone } => {
            let scope = lookup_numeric(&format!("{addr}%{zone}"), &number.to_string())?;
            fixed(scope.into_iter().map(|address| with_scope(*addr, address)).collect())
        }
        Host::Name(name) => Addresses::Named(NameCache::new(name.as_str().to_owned(), service)),
    })
}

fn service_port(service: &str) -> Result<u16, ResolveError> {
    let addresses = lookup_numeric("127.0.0.1", service)?;
    let none = || ResolveError { asked: service.to_owned(), reason: "the service has no port".to_owned() };
    addresses.first().map(SocketAddr::port).ok_or_else(none)
}

fn with_scope(addr: Ipv6Addr, found: SocketAddr) -> SocketAddr {
    let scope = if let SocketAddr::V6(found) = found { found.scope_id() } else { 0 };
    SocketAddrV6::new(addr, found.port(), 0, scope).into()
}

/// A name, and what it last resolved to.
#[derive(Debug)]
pub(super) struct NameCache {
    host: String,
    service: String,
    known: Mutex<Known>,
    /// One question at a time.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default, Clone)]
struct Known {
    answer: Vec<Endpoint>,
    /// When the last question ended.
    asked: Option<Instant>,
    failure: Option<ResolveError>,
}

impl Known {
    fn is_fresh(&self) -> bool {
        let keep = if self.failure.is_some() { FAILED } else { FRESH };
        self.asked.is_some_and(|asked| asked.elapsed() < keep)
    }

    fn result(self) -> Result<Vec<Endpoint>, ResolveError> {
        match self.failure {
            Some(failure) if self.answer.is_empty() => Err(failure),
            _ => Ok(self.answer),
        }
    }
}

impl NameCache {
    fn new(host: String, service: String) -> Self {
        Self { host, service, known: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// The name's addresses, in the resolver's order.
    pub(super) async fn addresses(&self) -> Result<Vec<Endpoint>, ResolveError> {
        let known = self.known();
        if known.is_fresh() {
            return known.result();
        }
        let patience = if known.answer.is_empty() { PATIENCE } else { PATIENCE_WITH_ANSWER };
        match timeout(patience, self.ask()).await {
            Ok(known) => known.result(),
            Err(_) if known.answer.is_empty() => Err(ResolveError {
                asked: format!("{}:{}", self.host, self.service),
                reason: "the resolver does not answer".to_owned(),
            }),
            Err(_) => Ok(known.answer),
        }
    }

    async fn ask(&self) -> Known {
        let _only = self.asking.lock().await;
        let known = self.known();
        if known.is_fresh() {
            return known;
        }
        let (host, service) = (self.host.clone(), self.service.clone());
        let asked = tokio::task::spawn_blocking(move || lookup(&host, &service)).await;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.asked = Some(Instant::now());
        match asked {
            Ok(Ok(addresses)) => {
                known.answer = addresses.into_iter().map(Endpoint::Inet).collect();
                known.failure = None;
            }
            Ok(Err(failure)) => known.failure = Some(failure),
            Err(_) => {
                let asked = format!("{}:{}", self.host, self.service);
                known.failure =
                    Some(ResolveError { asked, reason: "the resolver's thread ended".to_owned() });
            }
        }
        known.clone()
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_in_hand_outlives_a_failing_resolver() {
        let cache = NameCache::new("name.invalid".to_owned(), "80".to_owned());
        let answer = vec![Endpoint::Inet("127.0.0.1:80".parse().unwrap())];
        let long_ago = Instant::now().checked_sub(FRESH * 2).unwrap();
        *cache.known.lock().unwrap() = Known { answer: answer.clone(), asked: Some(long_ago), failure: None };
        assert_eq!(cache.addresses().await.unwrap(), answer);
    }

    #[tokio::test]
    async fn a_failure_is_told_and_not_asked_again_at_once() {
        let cache = NameCache::new("name.invalid".to_owned(), "80".to_owned());
        assert!(cache.addresses().await.is_err());
        assert!(cache.known().is_fresh());
    }

    #[test]
    fn services_have_ports() {
        assert_eq!(service_port("443").unwrap(), 443);
        assert!(service_port("no-such-service-at-all").is_err());
    }
}
