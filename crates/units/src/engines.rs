//! The rights that containers need: the socket of their engine.

use std::path::{Path, PathBuf};

use dormouse_activate::ActivatorConfig;
use dormouse_activate::container::SYSTEM_SOCKETS;
use dormouse_config::model::Config;

use super::files::{Access, Files, group_name};
use super::{Need, Remedy, USER, rules};

/// Returns the needs of the configuration.
pub(super) fn needs(config: &Config, files: &Files) -> Vec<Need> {
    let mut needs = Vec::new();
    for (place, _, wake) in rules::workloads(config) {
        if let ActivatorConfig::Container(container) = wake {
            needs.extend(socket(place, container.engine.as_deref(), files));
        }
    }
    needs
}

fn socket(place: String, configured: Option<&Path>, files: &Files) -> Option<Need> {
    let socket = configured.map_or_else(|| usual(files), Path::to_owned);
    let shown = socket.display();
    let (state, remedy) = match files.connect(&socket) {
        Access::Given => return None,
        Access::Group(group) => {
            let group = group_name(group);
            let state = format!("the group {group} may use; its members can become root");
            (state, Remedy::DropIn(vec![("SupplementaryGroups", group)]))
        }
        Access::Denied | Access::Unknown => {
            (format!("the user {USER} may not use"), Remedy::Advice(opened(&socket)))
        }
    };
    Some(Need {
        place,
        why: format!("dormouse controls the container engine at {shown}, which {state}"),
        remedy,
    })
}

/// Returns the socket that dormouse finds when the configuration names none.
fn usual(files: &Files) -> PathBuf {
    let [first, ..] = SYSTEM_SOCKETS;
    let found = SYSTEM_SOCKETS.into_iter().find(|path| (files.look)(Path::new(path)).is_some());
    PathBuf::from(found.unwrap_or(first))
}

/// Returns how to open the socket of an engine for the user of the unit.
fn opened(socket: &Path) -> Vec<String> {
    let directory = socket.parent().unwrap_or(Path::new("/")).display().to_string();
    // The directory of Podman is root's alone: tmpfiles.d makes it at boot.
    let mut lines = vec![
        format!("These lines in a drop-in of the engine's socket unit (such as podman.socket) let the user {USER} use"),
        "the socket. A user who controls the engine can become root. A container with a unit of its own (a Quadlet)"
            .to_owned(),
        "needs no such right: write wake.unit.".to_owned(),
    ];
    lines.push("  [Socket]".to_owned());
    lines.push(format!("  SocketGroup={USER}"));
    lines.push("  SocketMode=0660".to_owned());
    lines.push(format!("  ExecStartPost=chgrp {USER} {directory}"));
    lines.push(format!("  ExecStartPost=chmod 0710 {directory}"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Permissions;

    #[test]
    fn the_socket_of_an_engine_needs_its_group_or_a_drop_in() {
        let files = |look| Files { user: Some(900), group: Some(901), look };
        let docker = files(|path| {
            let found = !path.to_string_lossy().contains("podman");
            let (mode, group) = if path.extension().is_some() { (0o660, 4_000_000_000) } else { (0o755, 0) };
            found.then_some(Permissions { mode, user: 0, group })
        });
        let need = socket("l".to_owned(), None, &docker).unwrap();
        assert!(need.why.contains("/var/run/docker.sock"), "{need:?}");
        assert_eq!(need.remedy, Remedy::DropIn(vec![("SupplementaryGroups", "4000000000".to_owned())]));
        let podman = files(|path| {
            let mode = if path.ends_with("podman") { 0o700 } else { 0o755 };
            Some(Permissions { mode, user: 0, group: 0 })
        });
        let need = socket("l".to_owned(), None, &podman).unwrap();
        let Remedy::Advice(lines) = need.remedy else { panic!("{need:?}") };
        assert!(lines.contains(&"  ExecStartPost=chgrp dormouse /run/podman".to_owned()), "{lines:?}");
        let opened = files(|path| {
            let mode = if path.ends_with("podman") { 0o710 } else { 0o775 };
            Some(Permissions { mode, user: 0, group: if path.starts_with("/run/podman") { 901 } else { 0 } })
        });
        assert_eq!(socket("l".to_owned(), None, &opened), None);
    }
}
