//! A container of Podman or Docker, through the API socket of its engine.
//!
//! Requests use the API that both engines share, with one connection for each request. The engine's events are only
//! hints that the container may have changed: the activator inspects the container then, and reports what the inspection
//! shows. So a late event of an earlier run does no harm. An engine may send an event a quarter of a second late.
//!
//! While a container runs, the activator watches the engine's events and the container's process. While it is stopped,
//! the activator does not connect to Podman, whose API service exits when it has no connections: a stopped container
//! should not cost a waiting process. So the activator notices that another program has started a Podman container only
//! at the next request. Docker's engine runs all the time, and the activator always watches it.

mod engine;
mod engine_error;
mod inspect;
mod operations;
mod process;
mod quadlet;
mod socket;
mod task;
mod watch;

use std::fmt;
use std::path::PathBuf;

pub(crate) use quadlet::quadlet_unit;
pub use socket::SYSTEM_SOCKETS;
pub(crate) use socket::{engine_id, engine_user};
pub(crate) use task::run;

/// A container of Podman or Docker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Container {
    /// The name or the ID of the container.
    pub name: String,
    /// The socket of the engine's API. With `None` the activator tries the usual paths.
    pub engine: Option<PathBuf>,
    /// The container is ready when its health check succeeds.
    pub healthy: bool,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "container {}", self.name)
    }
}
