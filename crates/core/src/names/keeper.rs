//! What is known of one name, for how long, and when to ask again.

use std::time::{Duration, Instant};

use super::{Answer, Server};

/// An answer is asked for again after so long at the latest (`hold valid` of `HAProxy`).
const VALID: Duration = Duration::from_secs(10);
/// And after so long at the earliest, whatever its TTL says.
const CLOSEST: Duration = Duration::from_secs(1);
/// A question that failed is asked again after so long (`timeout retry` of `HAProxy`), three times.
const RETRY: Duration = Duration::from_secs(1);
const RETRIES: u32 = 3;
/// The name's absence is believed after so long (`hold nx` of `HAProxy`).
const ABSENT: Duration = Duration::from_secs(30);

/// Keeps the servers of one name.
#[derive(Debug, Clone)]
pub struct Keeper {
    servers: Vec<Server>,
    next: Instant,
    /// How many questions failed in a row.
    failures: u32,
    /// Since when there has been no server in the answers.
    absent: Option<Instant>,
}

/// What an answer brought about, where somebody should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// There are other servers than before.
    Changed,
    /// The questions have begun to fail, and why. The servers stay.
    Failing(String),
    /// They are answered again.
    Recovered,
    /// The name has begun to be without servers. They stay for a while.
    Missing,
}

impl Keeper {
    /// Nothing is known yet; it is asked at once.
    pub fn new(now: Instant) -> Self {
        Self { servers: Vec::new(), next: now, failures: 0, absent: None }
    }

    /// The servers as far as they are known, in order.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// When to ask.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Takes an answer.
    pub fn answered(&mut self, now: Instant, answer: Answer) -> Vec<Event> {
        let mut events = Vec::new();
        if !matches!(answer, Answer::Failed(_)) && std::mem::take(&mut self.failures) > RETRIES {
            events.push(Event::Recovered);
        }
        let pause = match answer {
            Answer::Servers(servers, ttl) if !servers.is_empty() => {
                self.absent = None;
                if self.servers != servers {
                    self.servers = servers;
                    events.push(Event::Changed);
                }
                ttl.clamp(CLOSEST, VALID)
            }
            Answer::Servers(_, ttl) | Answer::Nothing(ttl) => {
                self.nothing(now, &mut events);
                // A name that is not there yet is missed by those who wait.
                if self.servers.is_empty() { CLOSEST } else { ttl.clamp(CLOSEST, VALID) }
            }
            // An answer in hand outlives those who gave it; whether the servers are there, checks tell.
            Answer::Failed(why) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures == RETRIES + 1 {
                    events.push(Event::Failing(why));
                }
                if self.failures <= RETRIES || self.servers.is_empty() { RETRY } else { VALID }
            }
        };
        self.next = now.checked_add(pause).unwrap_or(now);
        events
    }

    fn nothing(&mut self, now: Instant, events: &mut Vec<Event>) {
        let since = *self.absent.get_or_insert_with(|| {
            events.push(Event::Missing);
            now
        });
        if !self.servers.is_empty() && now.saturating_duration_since(since) >= ABSENT {
            self.servers.clear();
            events.push(Event::Changed);
        }
    }
}
