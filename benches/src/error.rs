//! What can go wrong, said so that a person knows what to do next.

use std::{fmt, io, path::PathBuf, time::Duration};

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a benchmark, or one measure of it, could not be made.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line is wrong.
    Usage(String),
    /// A program that is to be measured is not installed.
    Missing { program: &'static str, remedy: String },
    /// A system call failed; `doing` names the operation and its object.
    System { doing: String, source: io::Error },
    /// A program ended although it was still needed; `log` is the tail of what it wrote.
    Ended { program: String, status: String, log: String },
    /// Nothing came in time.
    Late { awaited: String, after: Duration },
    /// The other side of a load said or did something that it must not.
    Protocol(String),
    /// The file between whose markers the table belongs lacks them.
    NoMarkers(PathBuf),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(why) => write!(f, "{why} (--help shows the options)"),
            Self::Missing { program, remedy } => write!(f, "{program} is missing: {remedy}"),
            Self::System { doing, source } => write!(f, "{doing}: {source}"),
            Self::Ended { program, status, log } => {
                write!(f, "{program} ended early ({status}): {}", log.trim())
            }
            Self::Late { awaited, after } => write!(f, "no {awaited} within {after:?}"),
            Self::Protocol(what) => f.write_str(what),
            Self::NoMarkers(path) => {
                write!(f, "{} has no lines <!-- table:begin --> and <!-- table:end -->", path.display())
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

/// Says what was being done when a system call failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::System { doing: what(), source: source.into() })
    }
}
