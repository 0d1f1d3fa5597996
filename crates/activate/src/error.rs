//! Errors of activators.

use std::fmt;

/// An operation on a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Starting the workload.
    Start,
    /// Stopping the workload.
    Stop,
    /// Freezing the workload.
    Freeze,
    /// Thawing the workload.
    Thaw,
    /// Running: the workload ended without a request.
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

/// A failed operation on a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivationError {
    /// The name of the workload: `unit nginx.service`, `container web`, `python3`.
    pub workload: String,
    /// The operation that failed.
    pub operation: Operation,
    /// Why it failed, in the words of the system or the manager, and what the user can do about it.
    pub reason: String,
}

impl fmt::Display for ActivationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            Operation::Run => write!(f, "{} ended: {}", self.workload, self.reason),
            operation => write!(f, "Failed to {operation} {}: {}", self.workload, self.reason),
        }
    }
}

impl std::error::Error for ActivationError {}
