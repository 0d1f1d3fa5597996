//! Why something could not be woken, stopped or frozen.

use std::fmt;

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Starting it.
    Start,
    /// Stopping it.
    Stop,
    /// Freezing it.
    Freeze,
    /// Thawing it.
    Thaw,
    /// Running: it ended by itself.
    Run,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::Run => "run",
        })
    }
}

/// What went wrong with what is behind a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WakeError {
    /// What it is: `unit nginx.service`, `container web`, `python3`.
    pub what: String,
    /// What was tried.
    pub operation: Operation,
    /// Why it did not work, in the words of whoever knows, and what to do about it.
    pub reason: String,
}

impl fmt::Display for WakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            Operation::Run => write!(f, "{} ended: {}", self.what, self.reason),
            operation => write!(f, "Failed to {operation} {}: {}", self.what, self.reason),
        }
    }
}

impl std::error::Error for WakeError {}
