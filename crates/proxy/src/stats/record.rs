//! The record of one session, in plain words.

use std::fmt;
use std::time::Duration;

use dormouse_relay::Report;

use super::counters::ServerStats;
use super::outcome::Outcome;
use crate::client::Peer;

/// The record of a session.
#[derive(Debug)]
pub struct Record<'a> {
    /// The client.
    pub client: &'a Peer,
    /// The server, if the session had one.
    pub server: Option<&'a ServerStats>,
    /// Whether the workload was asleep when the client arrived.
    pub asleep: bool,
    /// The time from the accept to the connection to the server.
    pub held: Duration,
    /// The time from the accept to the end.
    pub lasted: Duration,
    /// The outcome.
    pub outcome: &'a Outcome,
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = Client(self.client);
        let (held, lasted) = (self.held.as_secs_f64() * 1e3, self.lasted.as_secs_f64() * 1e3);
        match self.outcome {
            Outcome::Relayed(Report { upstream_bytes, downstream_bytes, end }) => write!(
                f,
                "Session from {client}: held {held:.1} ms, lasted {lasted:.1} ms, {upstream_bytes} bytes up, \
                 {downstream_bytes} bytes down: {end}"
            ),
            Outcome::Killed { upstream_bytes, downstream_bytes, by, .. } => write!(
                f,
                "Session from {}: lasted {lasted:.1} ms, {upstream_bytes} bytes up, {downstream_bytes} bytes down: {by}",
                self.client
            ),
            Outcome::Unserved(refusal) => {
                write!(f, "Session from {client}: lasted {lasted:.1} ms, not served: {refusal}")
            }
        }
    }
}

/// A client, and the unique ID of its session.
struct Client<'a>(&'a Peer);

impl fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        self.0.unique_id().map_or(Ok(()), |id| write!(f, " ({id})"))
    }
}
