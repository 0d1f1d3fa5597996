//! A container of Podman or Docker, through the API socket of its engine.
//!
//! The engine is asked through the interface that both have, one connection a request. What the engine tells on its
//! stream of events is taken as a hint that something may have changed; what it is then asked is what counts. So late
//! news (an engine may tell an event a quarter of a second after the fact) of a former run does no harm.
//!
//! While a container runs, its engine's events and its own process are watched. While it sleeps, Podman is left alone:
//! its service ends when nobody is connected, and the sleep of a container should not cost a process that waits for it.
//! So somebody else's start of a Podman container is noticed when the container is wanted next. Docker's engine runs
//! anyway, and is watched all the time.

mod engine;
mod inspect;
mod orders;
mod places;
mod process;
mod quadlet;
mod task;
mod watch;

use std::fmt;
use std::path::PathBuf;

pub use quadlet::quadlet_unit;
pub(crate) use task::run;

/// A container, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name or id.
    pub name: String,
    /// The socket of the engine's API; looked for in the usual places if `None`.
    pub engine: Option<PathBuf>,
    /// It is ready when its health check says so.
    pub healthy: bool,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "container {}", self.name)
    }
}
