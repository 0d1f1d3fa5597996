//! How a workload is started and stopped, and how each of its servers is found ready.

use std::sync::Arc;
use std::time::Duration;

use dormouse_activate::{ActivatorConfig, ListenerRule};
use dormouse_config::spelling::Spelling;
use dormouse_core::activation::Policy;
use dormouse_core::schedule::WeeklyWindow;

use super::group::Group;
use super::readiness::Readiness;
use crate::upstream::wakeable::WakeableServer;
use crate::upstream::workload::HoldLimits;
use dormouse_connect::Route;

/// What the configuration says about one wakeable server.
#[derive(Debug)]
pub(in crate::upstream) struct MemberSettings {
    /// The server's name in the log.
    pub(in crate::upstream) name: String,
    /// When its workload sleeps.
    pub(in crate::upstream) policy: Policy,
    /// Which clients it holds.
    pub(in crate::upstream) hold: HoldLimits,
    /// How its workload is started and stopped.
    pub(in crate::upstream) activation: ActivationSettings,
    /// How it is found ready.
    pub(in crate::upstream) port: PortSettings,
}

/// How a workload is started and stopped.
#[derive(Debug, Clone)]
pub(in crate::upstream) struct ActivationSettings {
    /// What starts and stops the workload.
    pub(in crate::upstream) activator: ActivatorConfig,
    /// How long a stop may take.
    pub(in crate::upstream) stop_timeout: Duration,
    /// When the workload is kept awake.
    pub(in crate::upstream) keep_warm: Vec<WeeklyWindow>,
    /// The exclusive group of the workload.
    pub(in crate::upstream) group: Option<Arc<Group>>,
}

/// How one server of a workload is reached and found ready.
#[derive(Debug, Clone)]
pub(in crate::upstream) struct PortSettings {
    /// The route to the server.
    pub(in crate::upstream) route: Arc<Route>,
    /// Whose listener a connection may reach.
    pub(in crate::upstream) listener: ListenerRule,
    /// How advice names the settings of the service.
    pub(in crate::upstream) spelling: Spelling,
    /// How to find out that the server is ready.
    pub(in crate::upstream) readiness: Readiness,
}

/// What the driver of a workload has to know.
#[derive(Debug)]
pub(super) struct WorkloadSettings {
    /// How the workload is started and stopped, for all of its servers together.
    pub(super) activation: ActivationSettings,
    /// Its servers.
    pub(super) ports: Vec<(Arc<WakeableServer>, PortSettings)>,
}

impl ActivationSettings {
    /// Returns the settings of a workload with two users: it is kept awake when one of them wants it.
    pub(super) fn combined(mut self, other: &Self) -> Self {
        self.stop_timeout = self.stop_timeout.max(other.stop_timeout);
        self.keep_warm.extend(
            other
                .keep_warm
                .iter()
                .filter(|window| !self.keep_warm.contains(window))
                .cloned()
                .collect::<Vec<_>>(),
        );
        self.group = self.group.or_else(|| other.group.clone());
        self
    }
}
