//! Name resolution off the data path: one query for all waiting sessions, cached for a time, and kept while the resolver
//! fails.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dormouse_core::address::{Host, Port};
use dormouse_sys::blocking;
use dormouse_sys::resolve::{ResolveError, lookup, lookup_numeric};
use tokio::sync::watch as watch_channel;
use tokio::time::{Instant, timeout};

use super::endpoint::Endpoint;

/// How long an answer is fresh (`hold valid` of haproxy).
const FRESH: Duration = Duration::from_secs(10);
/// How long a failure is cached.
const FAILED: Duration = Duration::from_secs(1);
/// How long a session with an old answer waits for a new one.
const MAX_WAIT_WITH_OLD_ANSWER: Duration = Duration::from_millis(250);
/// How long a session without an answer waits. The C library's resolver gives up after 5 s × 2 tries × 3 servers.
const MAX_WAIT: Duration = Duration::from_secs(35);

/// The addresses of a server, or where they come from.
#[derive(Debug)]
pub(super) enum Addresses {
    Fixed(Vec<Endpoint>),
    Named(NameCache),
    /// The current server of a slot.
    Slot(watch_channel::Receiver<Option<SocketAddr>>),
}

/// Returns the addresses of hosts that need no resolver, or a cache for a name.
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
    let none = || ResolveError { query: service.to_owned(), reason: "unknown service name".to_owned() };
    addresses.first().map(SocketAddr::port).ok_or_else(none)
}

fn with_scope(addr: Ipv6Addr, found: SocketAddr) -> SocketAddr {
    let scope = if let SocketAddr::V6(found) = found { found.scope_id() } else { 0 };
    SocketAddrV6::new(addr, found.port(), 0, scope).into()
}

/// A name and its last answer.
#[derive(Debug)]
pub(super) struct NameCache {
    query: Arc<CachedQuery>,
    lookup: Lookup,
}

type Lookup = fn(&str, &str) -> Result<Vec<SocketAddr>, ResolveError>;

/// The state of a query, which outlives the sessions that wait for it.
#[derive(Debug)]
struct CachedQuery {
    host: String,
    service: String,
    state: Mutex<CacheState>,
    /// Locked by the thread of the running query, so that only one query runs.
    query_lock: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default, Clone)]
struct CacheState {
    answer: Vec<Endpoint>,
    /// When the running query began.
    query_began: Option<Instant>,
    /// When the last query ended.
    ended: Option<Instant>,
    failure: Option<ResolveError>,
}

impl CacheState {
    fn is_fresh(&self) -> bool {
        let keep = if self.failure.is_some() { FAILED } else { FRESH };
        self.ended.is_some_and(|ended| ended.elapsed() < keep)
    }

    /// Returns how long a session waits for an answer. With an old answer it does not wait for a query that already takes
    /// too long.
    fn limit(&self) -> Duration {
        if self.answer.is_empty() {
            return MAX_WAIT;
        }
        let passed = self.query_began.map_or(Duration::ZERO, |began| began.elapsed());
        MAX_WAIT_WITH_OLD_ANSWER.saturating_sub(passed)
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
        Self::with_lookup(lookup, host, service)
    }

    fn with_lookup(lookup: Lookup, host: String, service: String) -> Self {
        let (state, query_lock) = (Mutex::default(), Arc::default());
        Self { query: Arc::new(CachedQuery { host, service, state, query_lock }), lookup }
    }

    /// Returns the addresses in the resolver's order.
    pub(super) async fn addresses(&self) -> Result<Vec<Endpoint>, ResolveError> {
        let state = self.query.state().clone();
        if state.is_fresh() {
            return state.result();
        }
        match timeout(state.limit(), self.query()).await {
            Ok(state) => state.result(),
            Err(_) if state.answer.is_empty() => Err(self.query.failure("the resolver did not answer")),
            Err(_) => Ok(state.answer),
        }
    }

    /// Returns the error for a connection that timed out.
    pub(super) fn unanswered(&self) -> ResolveError {
        self.query.failure("neither the resolver nor any of its addresses answered")
    }

    async fn query(&self) -> CacheState {
        let guard = Arc::clone(&self.query.query_lock).lock_owned().await;
        {
            let mut state = self.query.state();
            if state.is_fresh() {
                return state.clone();
            }
            state.query_began = Some(Instant::now());
        }
        let (query, lookup) = (Arc::clone(&self.query), self.lookup);
        let mut task = blocking::spawn("resolver", move || {
            let state = query.store(lookup(&query.host, &query.service));
            drop(guard);
            state
        });
        match task.result().await {
            Ok(state) => state,
            Err(error) => self.query.store(Err(self.query.failure(&error.to_string()))),
        }
    }
}

impl CachedQuery {
    fn state(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Caches an answer or a failure.
    fn store(&self, answer: Result<Vec<SocketAddr>, ResolveError>) -> CacheState {
        let mut state = self.state();
        (state.query_began, state.ended) = (None, Some(Instant::now()));
        match answer {
            Ok(addresses) => {
                state.answer = addresses.into_iter().map(Endpoint::Inet).collect();
                state.failure = None;
            }
            Err(failure) => state.failure = Some(failure),
        }
        state.clone()
    }

    fn failure(&self, reason: &str) -> ResolveError {
        ResolveError { query: format!("{}:{}", self.host, self.service), reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn keeps_the_last_answer_while_the_resolver_fails() {
        let cache = NameCache::new("name.invalid".to_owned(), "80".to_owned());
        let answer = fill_with_old_answer(&cache);
        assert_eq!(cache.addresses().await.unwrap(), answer);
    }

    #[tokio::test]
    async fn a_failure_is_cached() {
        let cache = NameCache::new("name.invalid".to_owned(), "80".to_owned());
        assert!(cache.addresses().await.is_err());
        assert!(cache.query.state().is_fresh());
    }

    static QUERIES: AtomicUsize = AtomicUsize::new(0);
    static ANSWERS: Barrier = Barrier::new(2);

    /// A resolver that answers when the test lets it.
    #[expect(clippy::unnecessary_wraps, reason = "it has to look like one that may fail")]
    fn slow(_: &str, _: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        QUERIES.fetch_add(1, Ordering::Relaxed);
        ANSWERS.wait();
        Ok(vec!["127.0.0.2:80".parse().unwrap()])
    }

    #[tokio::test]
    async fn a_slow_resolver_is_queried_once_and_its_answer_is_used() {
        let cache = NameCache::with_lookup(slow, "name".to_owned(), "80".to_owned());
        let old = fill_with_old_answer(&cache);
        for _ in 0..3 {
            assert_eq!(cache.addresses().await.unwrap(), old);
        }
        assert_eq!(QUERIES.load(Ordering::Relaxed), 1);
        assert_eq!(cache.query.state().limit(), Duration::ZERO);
        // A session without an answer waits for the running query and starts none.
        cache.query.state().answer.clear();
        let lookup = tokio::task::spawn_blocking(|| ANSWERS.wait());
        assert_eq!(cache.addresses().await.unwrap(), [Endpoint::Inet("127.0.0.2:80".parse().unwrap())]);
        lookup.await.unwrap();
        assert_eq!(QUERIES.load(Ordering::Relaxed), 1);
    }

    fn fill_with_old_answer(cache: &NameCache) -> Vec<Endpoint> {
        let answer = vec![Endpoint::Inet("127.0.0.1:80".parse().unwrap())];
        let ended = Some(Instant::now().checked_sub(FRESH * 2).unwrap());
        *cache.query.state() = CacheState { answer: answer.clone(), ended, ..CacheState::default() };
        answer
    }

    #[test]
    fn resolves_service_names_to_ports() {
        assert_eq!(service_port("443").unwrap(), 443);
        assert!(service_port("no-such-service-at-all").is_err());
    }
}
