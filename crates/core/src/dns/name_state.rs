//! The state of one name: its servers, and the time of the next query.

use std::time::{Duration, Instant};

use super::{Answer, Server};

/// The longest time between two queries (`hold valid` of `HAProxy`).
const MAX_INTERVAL: Duration = Duration::from_secs(10);
/// The shortest time between two queries, even if the TTL is shorter.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// The pause after a failed query (`timeout retry` of `HAProxy`), for the first three failures.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
const MAX_RETRIES: u32 = 3;
/// A name without servers keeps its previous servers for this time (`hold nx` of `HAProxy`).
const ABSENCE_HOLD: Duration = Duration::from_secs(30);

/// The state of one name.
#[derive(Debug, Clone)]
pub struct NameState {
    servers: Vec<Server>,
    next_query: Instant,
    /// The number of consecutive failed queries.
    failures: u32,
    /// The time of the first answer without servers since the last answer with servers.
    absent: Option<Instant>,
}

/// A change of the state that the log or the pool needs to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameEvent {
    /// The set of servers changed.
    Changed,
    /// The queries began to fail, with the reason. The servers stay.
    Failing(String),
    /// The queries succeed again.
    Recovered,
    /// The answers began to contain no servers. The previous servers stay for a while.
    NoServers,
}

impl NameState {
    /// Creates the state of a name that was never queried. The first query is due at once.
    pub fn new(now: Instant) -> Self {
        Self { servers: Vec::new(), next_query: now, failures: 0, absent: None }
    }

    /// The current servers, sorted.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The time of the next query.
    pub fn next_query(&self) -> Instant {
        self.next_query
    }

    /// Records an answer.
    pub fn record_answer(&mut self, now: Instant, answer: Answer) -> Vec<NameEvent> {
        let mut events = Vec::new();
        if !matches!(answer, Answer::Failed(_)) && std::mem::take(&mut self.failures) > MAX_RETRIES {
            events.push(NameEvent::Recovered);
        }
        let pause = match answer {
            Answer::Servers(servers, ttl) if !servers.is_empty() => {
                self.absent = None;
                if self.servers != servers {
                    self.servers = servers;
                    events.push(NameEvent::Changed);
                }
                ttl.clamp(MIN_INTERVAL, MAX_INTERVAL)
            }
            Answer::Servers(_, ttl) | Answer::NoServers(ttl) => {
                self.record_absence(now, &mut events);
                // Clients may be waiting for a name that does not exist yet.
                if self.servers.is_empty() { MIN_INTERVAL } else { ttl.clamp(MIN_INTERVAL, MAX_INTERVAL) }
            }
            // The last good answer stays valid while the resolver fails; health checks find dead servers.
            Answer::Failed(why) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures == MAX_RETRIES + 1 {
                    events.push(NameEvent::Failing(why));
                }
                if self.failures <= MAX_RETRIES || self.servers.is_empty() {
                    RETRY_INTERVAL
                } else {
                    MAX_INTERVAL
                }
            }
        };
        self.next_query = now.checked_add(pause).unwrap_or(now);
        events
    }

    fn record_absence(&mut self, now: Instant, events: &mut Vec<NameEvent>) {
        let since = *self.absent.get_or_insert_with(|| {
            events.push(NameEvent::NoServers);
            now
        });
        if !self.servers.is_empty() && now.saturating_duration_since(since) >= ABSENCE_HOLD {
            self.servers.clear();
            events.push(NameEvent::Changed);
        }
    }
}
