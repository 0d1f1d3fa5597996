//! The registry of wakeable servers, and the driver of each.

mod driver;
mod group;
mod listener_check;
mod readiness;
mod registry;
mod settings;

pub(super) use readiness::Readiness;
pub(super) use registry::{KeepAlive, ServerId};
pub use registry::{Registry, WokenServer};
pub(super) use settings::ActivationSettings;
