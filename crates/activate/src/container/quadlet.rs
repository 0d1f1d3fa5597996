//! Containers that belong to a unit: Quadlet's, and those of `podman generate systemd`.
//!
//! The unit creates and removes such a container, so dormouse should start the unit and not the container.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_sys::regular_file::read_at_most;
use tokio::time::timeout;

use super::Container;
use super::engine::Engine;
use super::inspect::Inspection;
use super::socket::{find_socket, user_id};

/// The time that the engine may take to answer.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest number of directories to search. It ends a loop of links.
const MAX_DIRECTORIES: usize = 256;
/// The largest part of a file to read, in bytes.
const MAX_FILE: u64 = 1 << 16;

/// Returns the systemd unit that owns a container, if one does. The unit is in a label of the container, or, if the
/// container does not exist, it follows from a Quadlet file for this container.
pub(crate) async fn quadlet_unit(container: &Container) -> Option<String> {
    let mut engine = Engine::new(container.engine.clone());
    if let Ok(Ok(inspection)) = timeout(ENGINE_TIMEOUT, Inspection::of(&mut engine, &container.name)).await {
        return inspection.unit();
    }
    let rootful = user_id() == 0
        || find_socket(container.engine.as_deref()).is_ok_and(|socket| socket.starts_with("/run/podman"));
    search_directories(quadlet_directories(rootful), &container.name)
}

fn quadlet_directories(rootful: bool) -> Vec<PathBuf> {
    if rootful {
        let all = ["/run/containers/systemd", "/etc/containers/systemd", "/usr/share/containers/systemd"];
        return all.iter().map(PathBuf::from).collect();
    }
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".config"));
    let config = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home);
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let mut all: Vec<PathBuf> =
        [runtime, config].into_iter().flatten().map(|dir| dir.join("containers/systemd")).collect();
    all.push(format!("/etc/containers/systemd/users/{}", user_id()).into());
    all.push("/etc/containers/systemd/users".into());
    all
}

/// Searches directories and their subdirectories for a Quadlet file of a container.
fn search_directories(directories: Vec<PathBuf>, name: &str) -> Option<String> {
    let mut open: VecDeque<_> = directories.into();
    for _ in 0..MAX_DIRECTORIES {
        let directory = open.pop_front()?;
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "container") {
                if let Some(unit) = unit_in_file(&path, name) {
                    return Some(unit);
                }
            } else if path.is_dir() {
                open.push_back(path);
            }
        }
    }
    None
}

fn unit_in_file(path: &Path, name: &str) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    let text = String::from_utf8(read_at_most(path, MAX_FILE).ok()?).ok()?;
    let given = value(&text, "ContainerName");
    // The default of Quadlet.
    let called = given
        .map_or_else(|| format!("systemd-{stem}"), |given| given.replace("%N", stem).replace("%p", stem));
    if called != name && stem != name {
        return None;
    }
    Some(format!("{}.service", value(&text, "ServiceName").unwrap_or(stem)))
}

/// Returns the last value of a key in the section `[Container]`.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut within = false;
    let mut found = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            within = line == "[Container]";
        } else if let Some((name, value)) = line.split_once('=').filter(|_| within) {
            if name.trim_end() == key {
                found = Some(value.trim()).filter(|value| !value.is_empty());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_container_and_file_name() {
        let dir = env::temp_dir().join(format!("dormouse-quadlet-{}", std::process::id()));
        let deeper = dir.join("more");
        fs::create_dir_all(&deeper).unwrap();
        fs::write(dir.join("web.container"), "[Unit]\nContainerName=no\n[Container]\nContainerName = shop\n")
            .unwrap();
        fs::write(deeper.join("db.container"), "[Container]\nImage=x\nServiceName=base\n").unwrap();
        // A pipe is no file, and the search does not wait for its writer.
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let pipe = dir.join("pipe.container");
        rustix::fs::mknodat(rustix::fs::CWD, pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let find = |name: &str| search_directories(vec![dir.join("missing"), dir.clone()], name);
        let found = ["web", "shop", "systemd-web", "no", "db", "systemd-db"].map(find);
        fs::remove_dir_all(&dir).unwrap();
        let expected = [Some("web"), Some("web"), None, None, Some("base"), Some("base")];
        assert_eq!(found, expected.map(|unit| unit.map(|unit| format!("{unit}.service"))));
    }
}
