//! Programs and directories that a configuration names and that do not exist.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use dormouse_activate::ActivatorConfig;
use dormouse_activate::exec::Exec;
use dormouse_config::model::{Config, Listen, ServiceConfig};
use dormouse_core::address::ListenAddress;

/// The directory that the shipped unit creates for its user.
pub(super) const RUNTIME: &str = "/run/dormouse";

/// Returns a warning for each program and each directory that is missing.
pub(super) fn missing(config: &Config) -> Vec<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    config.services.iter().flat_map(|service| of_service(service, &path)).collect()
}

fn of_service(service: &ServiceConfig, path: &OsStr) -> Vec<String> {
    let mut warnings = Vec::new();
    for listen in &service.listen {
        let Listen::Open { address: ListenAddress::Unix(socket), .. } = listen else { continue };
        let socket = socket.to_string();
        // The shipped unit creates its directory.
        let missing = |parent: &&Path| !parent.is_dir() && !parent.starts_with(RUNTIME);
        if let Some(parent) = Path::new(&socket).parent().filter(missing) {
            warnings.push(format!("listen: the directory {} does not exist; create it", parent.display()));
        }
    }
    for server in &service.servers {
        if let Some(ActivatorConfig::Exec(exec)) = &server.wake {
            warnings.extend(of_program(exec, path));
        }
    }
    warnings.into_iter().map(|warning| format!("services.{}.{warning}", service.name)).collect()
}

fn of_program(exec: &Exec, path: &OsStr) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(directory) = exec.directory.as_ref().filter(|directory| !directory.is_dir()) {
        let directory = directory.display();
        warnings.push(format!("wake.directory: {directory} is not a directory; create it"));
    }
    // With a PATH of its own the program may be found elsewhere.
    let own_path = exec.environment.iter().any(|(name, _)| name == "PATH");
    let Some(program) = exec.argv.first() else { return warnings };
    let named = program.to_string_lossy();
    let in_path = !named.contains('/');
    // A relative path depends on the working directory of dormouse.
    let found = if in_path {
        own_path || std::env::split_paths(path).any(|directory| is_program(&directory.join(program)))
    } else {
        !named.starts_with('/') || is_program(Path::new(program))
    };
    if !found {
        let place = if in_path { "is not in PATH" } else { "is not a program" };
        warnings.push(format!("wake.exec: {named} {place}; install it, or correct the name"));
    }
    warnings
}

/// Returns whether the path is a file that may be executed.
fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
