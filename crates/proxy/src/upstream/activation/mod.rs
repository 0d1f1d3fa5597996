//! The registry of wakeable servers and their workloads, and the driver of each workload.

mod driver;
mod group;
mod listener_check;
mod probes;
mod readiness;
mod registry;
mod settings;

pub(super) use readiness::Readiness;
pub(super) use registry::{KeepAlive, ServerId};
pub use registry::{Registry, WokenServer};
pub(super) use settings::{ActivationSettings, MemberSettings, PortSettings};
