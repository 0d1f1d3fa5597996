//! The client's side of the control socket, for `dormouse status` and its kin.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// How long the other side may take to answer, or to take what we say.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const LONGEST: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum ClientError {
    /// No socket was named, and none is where they usually are.
    Nowhere(Vec<PathBuf>),
    /// Nobody answers there.
    Unreachable(PathBuf, io::Error),
    /// The connection broke.
    Broken(PathBuf, io::Error),
    /// The answer is none that we understand.
    Nonsense(PathBuf, String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere(places) => {
                let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
                write!(
                    f,
                    "No control socket at {}. Is dormouse running, with control = \"unix:PATH\" in its configuration? \
                     Name the socket with --control=PATH.",
                    places.join(" or ")
                )
            }
            Self::Unreachable(path, error) => {
                write!(f, "Failed to connect to the control socket {}: {error}", path.display())?;
                match error.kind() {
                    io::ErrorKind::PermissionDenied => f.write_str(" (only the user who runs dormouse may)"),
                    io::ErrorKind::ConnectionRefused => f.write_str(" (dormouse is not running)"),
                    _ => Ok(()),
                }
            }
            Self::Broken(path, error) => {
                write!(f, "Failed to read from the control socket {}: {error}", path.display())
            }
            Self::Nonsense(path, error) => {
                write!(f, "The answer from {} is not understood: {error}", path.display())
            }
        }
    }
}

/// Where commands go.
#[derive(Debug)]
pub(super) struct Client {
    path: PathBuf,
}

impl Client {
    /// The socket that was named, or the first that is where they usually are.
    pub(super) fn new(named: Option<PathBuf>) -> Result<Self, ClientError> {
        if let Some(path) = named {
            // As the configuration writes it.
            let plain = path.to_str().and_then(|text| text.strip_prefix("unix:"));
            let plain = plain.map(|text| text.split_once('?').map_or(text, |(path, _)| path));
            return Ok(Self { path: plain.map_or_else(|| path.clone(), PathBuf::from) });
        }
        let places = crate::control::places(|name| std::env::var_os(name));
        match places.iter().find(|place| place.exists()) {
            Some(path) => Ok(Self { path: path.clone() }),
            None => Err(ClientError::Nowhere(places)),
        }
    }

    /// Says a line, and gives the answer without the empty line behind it.
    pub(super) fn ask(&self, line: &str) -> Result<String, ClientError> {
        let broken = |error| ClientError::Broken(self.path.clone(), error);
        let mut socket = UnixStream::connect(&self.path)
            .map_err(|error| ClientError::Unreachable(self.path.clone(), error))?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
        socket.set_write_timeout(Some(PATIENCE)).map_err(broken)?;
        socket.write_all(format!("{line}\n").as_bytes()).map_err(broken)?;
        socket.shutdown(Shutdown::Write).map_err(broken)?;
        let mut answer = String::new();
        socket.take(LONGEST).read_to_string(&mut answer).map_err(broken)?;
        Ok(answer.trim_end_matches('\n').to_owned())
    }

    /// That an answer is not what it should be.
    pub(super) fn nonsense(&self, why: &str) -> ClientError {
        ClientError::Nonsense(self.path.clone(), why.to_owned())
    }

    /// Says a line whose answer is JSON.
    pub(super) fn ask_json(&self, line: &str) -> Result<serde_json::Value, ClientError> {
        let answer = self.ask(line)?;
        serde_json::from_str(&answer).map_err(|error| self.nonsense(&error.to_string()))
    }
}

/// A word as the socket takes it, whatever is in it.
pub(super) fn escaped(word: &str) -> String {
    let special = |c: char| c.is_ascii_whitespace() || ";\\".contains(c);
    word.chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| special(c).then_some('\\').into_iter().chain([c]))
        .collect()
}
