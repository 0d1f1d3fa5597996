//! What starts and stops wakeable servers: the registry owns them, and one driver for each carries out what its machine
//! decides.

mod driver;
mod group;
mod readiness;
mod registry;
mod settings;

pub(super) use readiness::Readiness;
pub(super) use registry::{KeepAlive, ServerId};
pub use registry::{Registry, WokenServer};
pub(super) use settings::ActivationSettings;
