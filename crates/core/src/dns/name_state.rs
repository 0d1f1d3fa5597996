//! What is known of one name, for how long, and when to ask again.

use std::time::{Duration, Instant};

use super::{Answer, Server};

/// An answer is asked for again after so long at the latest (`hold valid` of `HAProxy`).
const MAX_INTERVAL: Duration = Duration::from_secs(10);
/// And after so long at the earliest, whatever its TTL says.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// A question that failed is asked again after so long (`timeout retry` of `HAProxy`), three times.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
const MAX_RETRIES: u32 = 3;
/// The name's absence is believed after so long (`hold nx` of `HAProxy`).
const ABSENCE_HOLD: Duration = Duration::from_secs(30);

/// Keeps the servers of one name.
#[derive(Debug, Clone)]
pub struct NameState {
    servers: Vec<Server>,
    next_query: Instant,
    /// How many questions failed in a row.
    failures: u32,
    /// Since when there has been no server in the answers.
    absent: Option<Instant>,
}

/// What an answer brought about, where somebody should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameEvent {
    /// There are other servers than before.
    Changed,
    /// The questions have begun to fail, and why. The servers stay.
    Failing(String),
    /// They are answered again.
    Recovered,
    /// The name has begun to be without servers. They stay for a while.
    NoServers,
}

impl NameState {
    /// Nothing is known yet; it is asked at once.
    pub fn new(now: Instant) -> Self {
        Self { servers: Vec::new(), next_query: now, failures: 0, absent: None }
    }

    /// The servers as far as they are known, in change.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// When to ask.
    pub fn next_query(&self) -> Instant {
        self.next_query
    }

    /// Takes an answer.
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
                // A name that is not there yet is missed by those who wait.
                if self.servers.is_empty() { MIN_INTERVAL } else { ttl.clamp(MIN_INTERVAL, MAX_INTERVAL) }
            }
            // An answer in hand outlives those who gave it; whether the servers are there, checks tell.
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
