//! Where an engine's socket may be.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// The socket to use: the configured one, that of the environment, or the first that exists of the usual ones.
///
/// # Errors
/// The places that were looked at when there is none.
pub(super) fn find(configured: Option<&Path>) -> Result<PathBuf, Vec<PathBuf>> {
    if let Some(path) = configured {
        return Ok(path.to_owned());
    }
    if let Some(path) = named_by_the_environment() {
        return Ok(path);
    }
    let places = usual(env::var_os("XDG_RUNTIME_DIR").as_deref().map(Path::new), user());
    match places.iter().find(|path| path.exists()) {
        Some(path) => Ok(path.clone()),
        None => Err(places),
    }
}

/// Our user.
pub(super) fn user() -> u32 {
    rustix::process::getuid().as_raw()
}

/// Other schemes (`ssh://`, `tcp://`) are not for us.
fn named_by_the_environment() -> Option<PathBuf> {
    ["CONTAINER_HOST", "DOCKER_HOST"].iter().filter_map(env::var_os).find_map(|value| from_url(&value))
}

fn from_url(value: &OsString) -> Option<PathBuf> {
    let path = value.as_bytes().strip_prefix(b"unix://")?;
    path.starts_with(b"/").then(|| OsString::from_vec(path.to_vec()).into())
}

fn usual(runtime: Option<&Path>, user: u32) -> Vec<PathBuf> {
    let runtime = runtime.map_or_else(|| PathBuf::from(format!("/run/user/{user}")), Path::to_owned);
    let mut places = Vec::new();
    if user != 0 {
        places.push(runtime.join("podman/podman.sock"));
    }
    places.push("/run/podman/podman.sock".into());
    places.push(runtime.join("docker.sock"));
    places.push("/var/run/docker.sock".into());
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_s_own_engine_comes_first() {
        let places = usual(Some(Path::new("/run/user/7")), 7);
        assert_eq!(places[0], Path::new("/run/user/7/podman/podman.sock"));
        assert_eq!(places[3], Path::new("/var/run/docker.sock"));
        assert_eq!(usual(None, 0)[0], Path::new("/run/podman/podman.sock"));
    }

    #[test]
    fn a_url_is_a_unix_socket_or_nothing() {
        assert_eq!(from_url(&"unix:///run/x.sock".into()), Some("/run/x.sock".into()));
        assert_eq!(from_url(&"unix://x.sock".into()), None);
        assert_eq!(from_url(&"tcp://127.0.0.1:2375".into()), None);
        assert_eq!(from_url(&OsString::new()), None);
    }
}
