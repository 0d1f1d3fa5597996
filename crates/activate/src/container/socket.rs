//! The path of the engine's API socket.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Container;
/// The paths of the sockets of engines that run as root, of which the first that exists is used.
pub const SYSTEM_SOCKETS: [&str; 2] = ["/run/podman/podman.sock", "/var/run/docker.sock"];

/// Returns the path of the socket: the configured path, that of the environment, or the first usual path that exists.
///
/// # Errors
/// The usual paths, if none of them exists.
pub(super) fn find_socket(configured: Option<&Path>) -> Result<PathBuf, Vec<PathBuf>> {
    if let Some(path) = configured {
        return Ok(path.to_owned());
    }
    if let Some(path) = from_environment() {
        return Ok(path);
    }
    let paths = usual_paths(env::var_os("XDG_RUNTIME_DIR").as_deref().map(Path::new), user_id());
    match paths.iter().find(|path| path.exists()) {
        Some(path) => Ok(path.clone()),
        None => Err(paths),
    }
}

/// Returns the user of the engine of a container: the owner of its socket.
pub(crate) fn engine_user(container: &Container) -> Option<u32> {
    let socket = find_socket(container.engine.as_deref()).ok()?;
    Some(socket.metadata().ok()?.uid())
}

/// Returns what tells engines apart without a look at the file system: one spelling of the socket's path that is configured
/// or in the environment. `None`: the first usual path that exists.
pub(crate) fn engine_id(configured: Option<&Path>) -> Option<PathBuf> {
    let path = configured.map(Path::to_owned).or_else(from_environment)?;
    // /var/run is a link to /run.
    let path =
        path.strip_prefix("/var/run").map_or_else(|_| path.clone(), |rest| Path::new("/run").join(rest));
    Some(path.components().collect())
}

/// Returns the user ID of dormouse.
pub(super) fn user_id() -> u32 {
    rustix::process::getuid().as_raw()
}

/// Returns the path in the engines' environment variables. Other schemes (`ssh://`, `tcp://`) are not supported.
fn from_environment() -> Option<PathBuf> {
    ["CONTAINER_HOST", "DOCKER_HOST"].iter().filter_map(env::var_os).find_map(|value| from_url(&value))
}

fn from_url(value: &OsString) -> Option<PathBuf> {
    let path = value.as_bytes().strip_prefix(b"unix://")?;
    path.starts_with(b"/").then(|| OsString::from_vec(path.to_vec()).into())
}

fn usual_paths(runtime: Option<&Path>, user: u32) -> Vec<PathBuf> {
    let runtime = runtime.map_or_else(|| PathBuf::from(format!("/run/user/{user}")), Path::to_owned);
    let mut paths = Vec::new();
    if user != 0 {
        paths.push(runtime.join("podman/podman.sock"));
    }
    let [podman, docker] = SYSTEM_SOCKETS;
    paths.push(podman.into());
    paths.push(runtime.join("docker.sock"));
    paths.push(docker.into());
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_of_the_user_comes_first() {
        let paths = usual_paths(Some(Path::new("/run/user/7")), 7);
        assert_eq!(paths[0], Path::new("/run/user/7/podman/podman.sock"));
        assert_eq!(paths[3], Path::new("/var/run/docker.sock"));
        assert_eq!(usual_paths(None, 0)[0], Path::new("/run/podman/podman.sock"));
    }

    #[test]
    fn only_urls_of_unix_sockets_are_accepted() {
        assert_eq!(from_url(&"unix:///run/x.sock".into()), Some("/run/x.sock".into()));
        assert_eq!(from_url(&"unix://x.sock".into()), None);
        assert_eq!(from_url(&"tcp://127.0.0.1:2375".into()), None);
        assert_eq!(from_url(&OsString::new()), None);
    }
}
