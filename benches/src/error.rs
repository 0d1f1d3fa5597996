//! Errors of the benchmark.

use std::{fmt, io, path::PathBuf, time::Duration};

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a run or one measurement failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line is invalid.
    Usage(String),
    /// A program under test is not installed.
    Missing { program: &'static str, remedy: String },
    /// A system call failed. `operation` names the operation and its object, for example "read FILE".
    System { operation: String, source: io::Error },
    /// A program ended too early. `log` is the end of its log.
    Ended { program: String, status: String, log: String },
    /// A wait timed out.
    Timeout { awaited: String, after: Duration },
    /// A process sent unexpected data.
    Protocol(String),
    /// The Markdown file has no markers for the tables.
    NoMarkers(PathBuf),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(reason) => write!(f, "{reason}; see --help"),
            Self::Missing { program, remedy } => write!(f, "cannot find {program}: {remedy}"),
            Self::System { operation, source } => write!(f, "cannot {operation}: {source}"),
            Self::Ended { program, status, log } => {
                write!(f, "{program} ended early ({status}): {}", log.trim())
            }
            Self::Timeout { awaited, after } => {
                write!(f, "timed out after {after:?} waiting for {awaited}")
            }
            Self::Protocol(what) => f.write_str(what),
            Self::NoMarkers(path) => {
                write!(f, "{}: no lines <!-- table:begin --> and <!-- table:end -->", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Adds the failed operation to a system error.
pub(crate) trait ErrorContext<T> {
    /// `operation` completes the sentence "cannot …".
    fn context(self, operation: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> ErrorContext<T> for std::result::Result<T, E> {
    fn context(self, operation: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::System { operation: operation(), source: source.into() })
    }
}
