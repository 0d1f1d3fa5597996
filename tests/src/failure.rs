//! The error type of the test support.

use std::time::Duration;
use std::{error, fmt, io};

/// The result of every operation of the test support.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a test could not continue. Each variant names the operation.
#[derive(Debug)]
pub enum Failure {
    /// A system call or a file operation failed.
    Io {
        /// The operation, with its address or path.
        doing: String,
        /// The system's error.
        source: io::Error,
    },
    /// An awaited event did not happen in time.
    TimedOut {
        /// The awaited event, and the state instead where that is known.
        waiting_for: String,
        /// The time limit of the wait.
        limit: Duration,
    },
    /// The machine lacks a program, privilege or kernel feature that the test needs.
    Missing {
        /// What is missing.
        what: String,
        /// How to get it.
        remedy: String,
    },
    /// An operation had another result than the test needs to continue.
    Unexpected(String),
}

impl Failure {
    /// An operation that failed, with the system's error.
    pub fn io(doing: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { doing: doing.into(), source: source.into() }
    }

    /// A missing program, privilege or kernel feature, and how to get it.
    pub fn missing(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Missing { what: what.into(), remedy: remedy.into() }
    }

    /// Whether a wait ran out of time, in the test or in the system.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::TimedOut { .. } => true,
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
            }
            Self::Missing { .. } | Self::Unexpected(_) => false,
        }
    }

    /// The system's error, where there is one.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
            Self::TimedOut { waiting_for, limit } => {
                write!(f, "no {waiting_for} within {} ms", limit.as_millis())
            }
            Self::Missing { what, remedy } => write!(f, "{what} is missing: {remedy}"),
            Self::Unexpected(what) => f.write_str(what),
        }
    }
}

impl error::Error for Failure {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Adds the name of the operation to an I/O error.
pub trait Doing<T> {
    /// Turns an I/O error into a [`Failure`] that names the operation.
    ///
    /// # Errors
    /// The error it was called on, with the operation's name.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::io(what(), error))
    }
}
