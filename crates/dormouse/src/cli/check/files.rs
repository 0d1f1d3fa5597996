//! Programs and directories that a configuration names and that do not exist, or that dormouse refuses.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use dormouse_activate::ActivatorConfig;
use dormouse_activate::exec::Exec;
use dormouse_config::model::{Config, Listen, ServiceConfig};
use dormouse_core::address::ListenAddress;
use dormouse_proxy::listener::unsafe_directory;
use dormouse_units::RUNTIME;

/// Returns a warning for each program and each directory that is missing, and for each directory that dormouse does not
/// listen in.
pub(super) fn missing(config: &Config) -> Vec<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let control = config.admin.control.listen();
    // RuntimeDirectory= may create its directory only at the start.
    let control = control.as_ref().and_then(path_of).and_then(unsafe_directory);
    let control = control.map(|warning| format!("control: {warning}"));
    let services = config.services.iter().flat_map(|service| of_service(service, &path));
    control.into_iter().chain(services).collect()
}

fn path_of(listen: &Listen) -> Option<&Path> {
    match listen {
        Listen::Open { address: ListenAddress::Unix(socket), .. } => Some(socket.as_path()),
        _ => None,
    }
}

/// Returns a warning about the directory of a socket.
fn of_socket(socket: &Path) -> Option<String> {
    // The shipped unit creates its directory.
    let missing = |parent: &&Path| !parent.is_dir() && !parent.starts_with(RUNTIME);
    match socket.parent().filter(missing) {
        Some(parent) => Some(format!("the directory {} does not exist; create it", parent.display())),
        None => unsafe_directory(socket),
    }
}

fn of_service(service: &ServiceConfig, path: &OsStr) -> Vec<String> {
    let mut warnings = Vec::new();
    let sockets = service.listen.iter().filter_map(path_of).filter_map(of_socket);
    warnings.extend(sockets.map(|warning| format!("listen: {warning}")));
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
