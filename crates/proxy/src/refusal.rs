//! Why a session gets no server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dormouse_core::activation::LeaseRefusal;

use crate::proxy_protocol::{HeaderError, ReadHeaderError};
use dormouse_connect::ConnectError;

/// Why a session gets no server.
#[derive(Debug)]
pub enum Refusal {
    /// The server cannot be connected to, and waiting would not help or was not wanted.
    Unreachable(ConnectError),
    /// The server was not reachable in time; with the last error.
    HoldTimeout(Duration, ConnectError),
    /// The workload is asleep and was not started, or not in time; with the reason if it is known.
    NotWoken(LeaseRefusal, Option<Arc<str>>),
    /// The server closed connections before its first byte, until the hold timeout.
    Dropped(Duration),
    /// All servers were down for this time.
    NoServer(Duration),
    /// All servers were at their session limit for this time.
    QueueTimeout(Duration),
    /// All servers were at their session limit, and the queue was full.
    QueueFull,
    /// The client left before a server took its session.
    ClientLeft,
    /// The client sent nothing for this time, and only data starts the workload.
    NoFirstData(Duration),
    /// A trusted proxy did not send a valid PROXY header.
    Header(Box<HeaderError>),
    /// An administrator has drained all servers or put them in maintenance.
    Maintenance,
    /// The client's socket cannot be watched because of a local limit.
    Unwatchable(std::io::Error),
}

impl From<ReadHeaderError> for Refusal {
    fn from(error: ReadHeaderError) -> Self {
        match error {
            ReadHeaderError::ClientLeft => Self::ClientLeft,
            ReadHeaderError::Unwatchable(error) => Self::Unwatchable(error),
            ReadHeaderError::Header(fault) => Self::Header(fault),
        }
    }
}

impl Refusal {
    /// Returns whether the refusal is logged. A client that leaves is no error, and a failed start is already logged.
    pub fn is_reported(&self) -> bool {
        !matches!(
            self,
            Self::ClientLeft
                | Self::NoFirstData(_)
                | Self::Maintenance
                | Self::NotWoken(LeaseRefusal::WakeNotAllowed | LeaseRefusal::StartFailed, _)
        )
    }

    /// Returns whether the server reset the connection immediately.
    pub fn is_reset(&self) -> bool {
        matches!(self, Self::Unreachable(error) if error.is_reset())
    }

    /// Returns whether the server failed.
    pub fn is_server_failure(&self) -> bool {
        let failed = matches!(
            self,
            Self::Unreachable(_)
                | Self::HoldTimeout(..)
                | Self::Dropped(_)
                | Self::NotWoken(
                    LeaseRefusal::HoldTimeout | LeaseRefusal::StartFailed | LeaseRefusal::Backoff,
                    _
                )
        );
        failed && !self.is_local_limit()
    }

    /// Returns whether a local limit is the reason.
    pub fn is_local_limit(&self) -> bool {
        match self {
            Self::Unreachable(error) | Self::HoldTimeout(_, error) => error.is_local_limit(),
            Self::Unwatchable(_) => true,
            _ => false,
        }
    }
}

/// Returns a span in seconds, truncated to milliseconds.
fn seconds(span: Duration) -> f64 {
    Duration::new(span.as_secs(), span.subsec_millis() * 1_000_000).as_secs_f64()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "{error}"),
            Self::HoldTimeout(after, error) => {
                write!(f, "Gave up after holding the client for {} s: {error}", seconds(*after))
            }
            Self::NotWoken(refusal, None) => write!(f, "{refusal}"),
            Self::NotWoken(refusal, Some(reason)) => write!(f, "{refusal}: {reason}"),
            Self::Dropped(after) => write!(
                f,
                "Gave up after {} s: the server closes connections before its first byte",
                seconds(*after)
            ),
            Self::NoServer(after) => {
                write!(f, "Gave up after holding the client for {} s: all servers are down", seconds(*after))
            }
            Self::QueueTimeout(after) => {
                write!(
                    f,
                    "Gave up after {} s in the queue: all servers are at their session limit",
                    seconds(*after)
                )
            }
            Self::QueueFull => f.write_str("all servers are at their session limit, and the queue is full"),
            Self::ClientLeft => f.write_str("the client left before it was served"),
            Self::NoFirstData(after) => {
                write!(
                    f,
                    "the client sent nothing for {} s, and only data wakes the service",
                    seconds(*after)
                )
            }
            Self::Header(fault) => write!(f, "{fault}"),
            Self::Maintenance => f.write_str("all servers are drained or in maintenance"),
            Self::Unwatchable(error) => write!(f, "Failed to watch the client's socket: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_shown_in_milliseconds() {
        for (nanoseconds, shown) in
            [(1_001_041_525, "1.001 s"), (30_000_000_000, "30 s"), (1_999_999, "0.001 s")]
        {
            let refusal = Refusal::NoServer(Duration::from_nanos(nanoseconds));
            let expected = format!("Gave up after holding the client for {shown}: all servers are down");
            assert_eq!(refusal.to_string(), expected);
        }
    }
}
