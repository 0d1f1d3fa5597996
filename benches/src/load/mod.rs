//! The measurements, one file each: what the client does, and what the benchmark reads meanwhile.

pub(crate) mod bulk;
mod client;
pub(crate) mod connections;
mod hold;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod messages;
mod protocol;
pub(crate) mod startup;
pub(crate) mod stuck;
pub(crate) mod wake;

use std::time::Duration;

use crate::{
    error::Result,
    net::Endpoint,
    spec::{Load, Timing},
};

/// How long a load that makes no progress at all goes on beyond its time.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the client process: generates one load against the proxy and prints the result.
pub(crate) fn run_client(load: Load, front: &Endpoint, timing: Timing) -> Result<()> {
    match load {
        Load::Bulk { direction, streams } => bulk::client(direction, streams, front, timing),
        Load::Messages { sessions } => messages::client(sessions, front, timing),
        Load::Connections { close, count } => connections::client(close, count, front, timing),
        Load::Latency => latency::client(front, timing),
        Load::Hold { mode, sessions } => hold::client(mode, sessions, front),
    }
}
