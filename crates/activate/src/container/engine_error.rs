//! The error of a failed request to the engine.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::StatusCode;

use super::socket::user_id;

/// A failed request to the engine.
#[derive(Debug)]
pub(super) enum EngineError {
    /// None of these sockets exists.
    NoSocket(Vec<PathBuf>),
    /// The engine's socket does not accept a connection.
    Unreachable(PathBuf, io::Error),
    /// The connection failed during the request.
    Disconnected(hyper::Error),
    /// The engine did not respond in time.
    Timeout(Duration),
    /// The engine rejected the request with this message.
    Rejected(StatusCode, String),
    /// The response cannot be parsed.
    InvalidResponse(String),
}

impl EngineError {
    /// Returns whether an engine that starts or restarts may cause the error.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::NoSocket(_) | Self::Disconnected(_) => true,
            Self::Unreachable(_, error) => error.kind() != io::ErrorKind::PermissionDenied,
            Self::Timeout(_) | Self::Rejected(..) | Self::InvalidResponse(_) => false,
        }
    }

    /// Returns whether the engine has no socket.
    pub(super) fn is_absent(&self) -> bool {
        match self {
            Self::NoSocket(_) => true,
            Self::Unreachable(_, error) => error.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// Returns whether the engine reports an internal error.
    pub(super) fn is_internal(&self) -> bool {
        matches!(self, Self::Rejected(status, _) if status.is_server_error())
    }

    /// Returns whether the container does not exist.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Rejected(StatusCode::NOT_FOUND, _))
    }
}

impl From<hyper::Error> for EngineError {
    fn from(error: hyper::Error) -> Self {
        Self::Disconnected(error)
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSocket(paths) => {
                let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                write!(
                    f,
                    "no container engine: no socket at {}; {}, or set the engine's socket",
                    paths.join(", "),
                    enable(user_id() == 0)
                )
            }
            Self::Unreachable(socket, error) => {
                write!(
                    f,
                    "the container engine's socket {} cannot be connected to: {error}",
                    socket.display()
                )?;
                match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        f.write_str("; give this user access to it or run a rootless engine")
                    }
                    _ => write!(f, "; {}", remedy(socket)),
                }
            }
            Self::Disconnected(error) => write!(f, "the container engine closed the connection: {error}"),
            Self::Timeout(limit) => {
                write!(f, "the container engine did not answer within {} s", limit.as_secs())
            }
            Self::Rejected(status, message) if message.is_empty() => {
                write!(f, "the container engine returned {status}")
            }
            Self::Rejected(_, message) => f.write_str(message),
            Self::InvalidResponse(what) => {
                write!(f, "invalid response of the container engine: {what}")
            }
        }
    }
}

fn remedy(socket: &Path) -> &'static str {
    if socket.file_name().is_some_and(|name| name == "docker.sock") {
        "start it: \"systemctl start docker.socket\""
    } else {
        enable(socket.starts_with("/run/podman") || user_id() == 0)
    }
}

fn enable(system: bool) -> &'static str {
    if system {
        "start one: \"systemctl enable --now podman.socket\""
    } else {
        "start one: \"systemctl --user enable --now podman.socket\""
    }
}
