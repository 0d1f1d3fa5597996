//! What makes two servers have the same workload.

use crate::{ActivatorConfig, container, exec};

/// What a workload is. Servers whose activators are the same thing share one workload.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkloadId(ActivatorConfig);

impl ActivatorConfig {
    /// Returns what the workload is: the unit of a manager, the container of an engine, a program with its user and its
    /// environment, the commands. How dormouse finds it ready is not a part of it. Neither managers nor engines are
    /// asked, so that other names that they have for the same thing are not known here.
    #[must_use]
    pub fn workload(&self) -> WorkloadId {
        WorkloadId(match self.clone() {
            Self::Exec(exec) => Self::Exec(exec::Exec { notify: false, ..exec }),
            Self::Container(container) => Self::Container(container::Container {
                engine: container::engine_id(container.engine.as_deref()),
                healthy: false,
                ..container
            }),
            other @ (Self::Unit(_) | Self::Command(_) | Self::WakeOnLan(_)) => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Container;

    fn container(engine: Option<&str>, healthy: bool) -> WorkloadId {
        let engine = engine.map(Into::into);
        ActivatorConfig::Container(Container { name: "web".to_owned(), engine, healthy }).workload()
    }

    #[test]
    fn spellings_of_an_engine_mean_the_same_workload() {
        let docker = container(Some("/run/docker.sock"), false);
        assert_eq!(docker, container(Some("/var/run/docker.sock"), true));
        assert_eq!(docker, container(Some("//run/./docker.sock"), false));
        assert_ne!(docker, container(Some("/run/podman/podman.sock"), false));
        assert_ne!(docker, container(Some("/var/run2/docker.sock"), false));
    }
}
