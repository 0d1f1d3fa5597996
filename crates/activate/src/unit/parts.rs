//! The control groups of a unit and of the units that it pulls in.

use std::collections::{HashSet, VecDeque};

use super::Unit;
use super::client::{PROPERTIES, UNIT};
use super::dbus::{Arg, CallError, Value};
use super::manager::{MANAGER, MANAGER_PATH, ManagerConnection};

/// The largest number of units to look at.
const MAX_UNITS: usize = 64;

/// The properties that list the units that a unit pulls in, or that are parts of it (`PartOf=`).
const PULLS_IN: [&str; 6] = ["Requires", "Requisite", "Wants", "BindsTo", "Upholds", "ConsistsOf"];

/// Targets that nearly every unit pulls in. What they contain is no part of a workload.
const COMMON_TARGETS: [&str; 12] = [
    "basic.target",
    "default.target",
    "local-fs.target",
    "multi-user.target",
    "network-online.target",
    "network.target",
    "paths.target",
    "remote-fs.target",
    "shutdown.target",
    "sockets.target",
    "sysinit.target",
    "timers.target",
];

/// Returns the control groups whose processes may listen for a unit: its own, those of the services that it pulls in,
/// and that of the service manager, which listens for socket units.
///
/// # Errors
/// The reason why the manager does not answer.
pub(crate) async fn control_groups(unit: &Unit) -> Result<Vec<String>, String> {
    let connection = ManagerConnection::shared(unit.manager).await?;
    let mut groups = Vec::new();
    let managers = property(&connection, MANAGER_PATH, MANAGER, "ControlGroup").await?;
    if let Some(Value::Text(top)) = managers {
        groups.push(format!("{}/init.scope", top.trim_end_matches('/')));
    }
    let mut seen = HashSet::from([unit.name.clone()]);
    let mut open = VecDeque::from([unit.name.clone()]);
    while let Some(name) = open.pop_front() {
        let Some(path) = object_path(&connection, &name).await? else { continue };
        if name.ends_with(".service") {
            let interface = "org.freedesktop.systemd1.Service";
            if let Some(Value::Text(group)) = property(&connection, &path, interface, "ControlGroup").await? {
                groups.push(group);
            }
        }
        for relation in PULLS_IN {
            let Some(Value::Texts(names)) = property(&connection, &path, UNIT, relation).await? else {
                continue;
            };
            for name in names.into_iter().filter(|name| may_listen(name)) {
                if seen.len() < MAX_UNITS && seen.insert(name.clone()) {
                    open.push_back(name);
                }
            }
        }
    }
    // A unit without processes has no group. The root group would contain everything.
    groups.retain(|group| !group.trim_end_matches('/').is_empty());
    Ok(groups)
}

/// Returns whether a unit of this name, or a unit that it pulls in, may have processes.
fn may_listen(name: &str) -> bool {
    name.ends_with(".service") || (name.ends_with(".target") && !COMMON_TARGETS.contains(&name))
}

/// Returns the object path of a unit; `None` if it is not loaded.
async fn object_path(connection: &ManagerConnection, name: &str) -> Result<Option<String>, String> {
    let reply = connection.call((MANAGER_PATH, MANAGER, "GetUnit"), &[Arg::Text(name)]).await;
    match reply {
        Ok(reply) => Ok(reply.body("o").and_then(|mut body| body.text()).ok()),
        Err(CallError::Reply { .. }) => Ok(None),
        Err(CallError::Disconnected(reason)) => Err(reason),
    }
}

async fn property(
    connection: &ManagerConnection,
    path: &str,
    interface: &str,
    name: &str,
) -> Result<Option<Value>, String> {
    let reply = connection.call((path, PROPERTIES, "Get"), &[Arg::Text(interface), Arg::Text(name)]).await;
    match reply {
        Ok(reply) => Ok(reply.body("v").and_then(|mut body| body.variant()).ok()),
        // Older managers have fewer properties.
        Err(CallError::Reply { .. }) => Ok(None),
        Err(CallError::Disconnected(reason)) => Err(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_may_listen_and_common_targets_may_not() {
        assert!(may_listen("postgresql@15-main.service"));
        assert!(may_listen("shop.target"));
        for other in ["sysinit.target", "system.slice", "-.mount", "web.socket"] {
            assert!(!may_listen(other), "{other}");
        }
    }
}
