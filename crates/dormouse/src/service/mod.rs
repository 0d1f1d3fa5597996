//! What stands behind a listener. A session asks it for a server and gets a connected socket, waits for one (hold),
//! or is told why not.

mod hold;

use std::fmt;
use std::time::Duration;

use dormouse_core::timespan::TimeSpan;
use dormouse_relay::Stream;

use crate::admission::Permit;
use crate::connect::{ConnectError, Route};
use hold::Turn;

/// A service of one server that nobody has to wake: it is there, or on its way.
#[derive(Debug)]
pub struct Service {
    route: Route,
    wait: TimeSpan,
    turn: Turn,
}

/// Why a session gets no server.
#[derive(Debug)]
pub enum Refusal {
    /// The server cannot be connected to, and waiting would not help or was not wanted.
    Unreachable(ConnectError),
    /// It was not there in time; its last word.
    HoldTimeout(Duration, ConnectError),
    /// The client left while it was held.
    ClientLeft,
    /// The client's socket cannot be watched: a limit of ours.
    Unwatchable(std::io::Error),
}

impl Refusal {
    /// Whether anybody has to look after it; a client that leaves is nobody's fault.
    pub fn is_fault(&self) -> bool {
        !matches!(self, Self::ClientLeft)
    }

    /// Whether the server reset the connection as soon as it had it.
    pub fn is_reset(&self) -> bool {
        matches!(self, Self::Unreachable(error) if error.is_reset())
    }

    /// Whether a limit of ours is the reason.
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Unreachable(error) | Self::HoldTimeout(_, error) => error.is_ours(),
            Self::ClientLeft => false,
            Self::Unwatchable(_) => true,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "{error}"),
            Self::HoldTimeout(after, error) => {
                write!(f, "Gave up after holding the client for {} s: {error}", after.as_secs_f64())
            }
            Self::ClientLeft => f.write_str("the client left while it was held"),
            Self::Unwatchable(error) => write!(f, "Failed to watch the client's socket: {error}"),
        }
    }
}

impl Service {
    /// A service behind this route; a client is held for at most `wait` while the server is not there.
    pub fn new(route: Route, wait: TimeSpan) -> Self {
        Self { route, wait, turn: Turn::new() }
    }

    /// Connects a server for this client, which has bytes waiting already or not. `permit` is its place.
    ///
    /// # Errors
    /// When the client gets none, and why.
    pub async fn lease(
        &self,
        client: &mut Stream,
        says_first: bool,
        permit: &Permit,
    ) -> Result<Stream, Refusal> {
        match self.route.connect(says_first).await {
            Ok(server) => Ok(server),
            Err(error) if self.wait.is_zero() || !error.may_pass() => Err(Refusal::Unreachable(error)),
            // Boxed: most sessions never come here, and all would carry it.
            Err(error) => Box::pin(self.hold(client, says_first, permit, error)).await,
        }
    }
}
