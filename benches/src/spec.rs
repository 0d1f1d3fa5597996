//! The kinds of load and their variants. A client process reads them from its command line.

use std::{fmt, str::FromStr, time::Duration};

use crate::error::{Error, Result};

/// The load that a client process generates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Bulk { direction: Direction, streams: usize },
    Messages { sessions: usize },
    Connections { close: CloseMode, count: usize },
    Latency,
    Hold { mode: HoldMode, sessions: usize },
}

/// How long a load runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// The time before the measured window.
    pub(crate) warmup: Duration,
    /// The measured time, or the limit for a load with a fixed number of sessions.
    pub(crate) window: Duration,
}

/// The direction of a bulk transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the backend.
    Up,
    /// From the backend to the client.
    Down,
}

/// How the client closes a session after its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseMode {
    /// The client shuts its side down and waits for the end of the other side.
    Fin,
    /// The client resets the connection.
    Reset,
}

/// What a client does with the sessions that it holds open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldMode {
    /// Each session has one exchange after it opens and another before it closes.
    Answered,
    /// Each session has one exchange, until one is not answered; the others only send a request.
    Queued,
    /// The client never reads, and has a small receive buffer.
    Stuck,
}

/// How a sleeping server wakes, and how the program under test learns that the server is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WakeCase {
    /// A cold start behind a TCP port, which has to be polled.
    PolledTcp,
    /// A cold start behind a UNIX socket, whose file can be watched.
    UnixSocket,
    /// A cold start of a server that sends READY=1.
    Notify,
    /// A complete cold start of a server that listens at once.
    EndToEnd,
    /// The server was frozen.
    Thaw,
}

impl Direction {
    const ALL: [Self; 2] = [Self::Up, Self::Down];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl CloseMode {
    const ALL: [Self; 2] = [Self::Fin, Self::Reset];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Reset => "reset",
        }
    }
}

impl HoldMode {
    const ALL: [Self; 3] = [Self::Answered, Self::Queued, Self::Stuck];

    fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Queued => "queued",
            Self::Stuck => "stuck",
        }
    }
}

impl WakeCase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PolledTcp => "polled TCP port",
            Self::UnixSocket => "UNIX socket",
            Self::Notify => "READY=1",
            Self::EndToEnd => "end to end",
            Self::Thaw => "thaw",
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bulk { direction, streams } => write!(f, "bulk:{}:{streams}", direction.name()),
            Self::Messages { sessions } => write!(f, "messages:{sessions}"),
            Self::Connections { close, count } => write!(f, "connections:{}:{count}", close.name()),
            Self::Latency => f.write_str("latency"),
            Self::Hold { mode, sessions } => write!(f, "hold:{}:{sessions}", mode.name()),
        }
    }
}

impl FromStr for Load {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::Usage(format!("unknown load: {text}"));
        let number = |word: &str| word.parse().map_err(|_| invalid());
        let words: Vec<&str> = text.split(':').collect();
        Ok(match words.as_slice() {
            ["bulk", direction, streams] => Self::Bulk {
                direction: named(Direction::ALL, Direction::name, direction).ok_or_else(invalid)?,
                streams: number(streams)?,
            },
            ["messages", sessions] => Self::Messages { sessions: number(sessions)? },
            ["connections", close, count] => Self::Connections {
                close: named(CloseMode::ALL, CloseMode::name, close).ok_or_else(invalid)?,
                count: number(count)?,
            },
            ["latency"] => Self::Latency,
            ["hold", mode, sessions] => Self::Hold {
                mode: named(HoldMode::ALL, HoldMode::name, mode).ok_or_else(invalid)?,
                sessions: number(sessions)?,
            },
            _ => return Err(invalid()),
        })
    }
}

fn named<T: Copy, const N: usize>(all: [T; N], name: fn(T) -> &'static str, text: &str) -> Option<T> {
    all.into_iter().find(|one| name(*one) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_can_be_read_from_its_text() {
        for text in
            ["bulk:up:8", "bulk:down:1", "messages:64", "connections:reset:10", "latency", "hold:stuck:5"]
        {
            assert_eq!(text.parse::<Load>().unwrap().to_string(), text);
        }
        assert!("bulk:sideways:1".parse::<Load>().is_err());
    }
}
