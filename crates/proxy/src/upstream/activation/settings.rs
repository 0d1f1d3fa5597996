//! How a wakeable server is started and stopped.

use std::sync::Arc;
use std::time::Duration;

use dormouse_activate::{ActivatorConfig, ListenerRule};
use dormouse_config::spelling::Spelling;
use dormouse_core::schedule::WeeklyWindow;

use super::group::Group;
use super::readiness::Readiness;
use crate::connect::Route;

/// How a wakeable server is started, found ready and stopped.
#[derive(Debug)]
pub(in crate::upstream) struct ActivationSettings {
    /// What starts and stops the server.
    pub(in crate::upstream) activator: ActivatorConfig,
    /// The route to the server.
    pub(in crate::upstream) route: Arc<Route>,
    /// Whose listener a connection may reach.
    pub(in crate::upstream) listener: ListenerRule,
    /// How advice names the settings of the service.
    pub(in crate::upstream) spelling: Spelling,
    /// How to find out that the server is ready.
    pub(in crate::upstream) readiness: Readiness,
    /// How long a stop may take.
    pub(in crate::upstream) stop_timeout: Duration,
    /// When the server is kept awake.
    pub(in crate::upstream) keep_warm: Vec<WeeklyWindow>,
    /// The exclusive group of the server.
    pub(in crate::upstream) group: Option<Arc<Group>>,
}
