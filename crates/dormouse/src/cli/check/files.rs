//! What the file system says about the paths of a configuration: errors where dormouse would not start, and warnings where
//! a workload would not.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use dormouse_activate::ActivatorConfig;
use dormouse_activate::exec::{Account, Exec};
use dormouse_config::model::{Config, Listen, Ready, ServerConfig};
use dormouse_config::places::{Places, ServicePlaces};
use dormouse_config::report::{Place, Report};
use dormouse_core::address::ListenAddress;
use dormouse_proxy::listener::{UnsafePath, unsafe_path};
use dormouse_units::RUNTIME;

use super::access::denied;

/// Reports what is missing, and what dormouse refuses.
pub(super) fn look(config: &Config, places: &Places, report: &mut Report) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let (Some(control), Some(place)) = (config.admin.control.listen(), places.general("control")) {
        of_listener(&control, &place, report);
    }
    for service in &config.services {
        let Some(places) = places.service(&service.name) else { continue };
        for (number, listen) in service.listen.iter().enumerate() {
            of_listener(listen, &places.listener(number), report);
        }
        for server in &service.servers {
            of_workload(server, places, &path, report);
        }
        if let Ready::Command(argv) = &service.ready {
            of_command(argv, &places.key("ready.command"), &path, report);
        }
    }
}

fn of_listener(listen: &Listen, place: &Place, report: &mut Report) {
    let Listen::Open { address: ListenAddress::Unix(socket), .. } = listen else { return };
    let socket = socket.as_path();
    let Some(directory) = socket.parent() else { return };
    let shown = directory.display();
    match fs::metadata(directory) {
        // The unit creates its directory.
        Err(error) if error.kind() == ErrorKind::NotFound && directory.starts_with(RUNTIME) => {}
        // The unit may create others there, too.
        Err(error) if error.kind() == ErrorKind::NotFound && is_below_run(directory) => report.warning(
            place,
            format!(
                "the directory {shown} does not exist, and dormouse does not start without it; let the unit create it \
                 (RuntimeDirectory=; dormouse check --drop-in prints the line), or create it"
            ),
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            report.error(place, format!("the directory {shown} does not exist; create it"));
        }
        Ok(found) if !found.is_dir() => {
            report.error(place, format!("{shown} is not a directory; correct the path"));
        }
        Ok(_) | Err(_) => of_existing_directory(socket, place, report),
    }
}

/// Returns whether a directory is on the file system that is empty at each boot.
fn is_below_run(directory: &Path) -> bool {
    let of_system = directory.starts_with("/run") || directory.starts_with("/var/run");
    of_system && !directory.starts_with("/run/user")
}

fn of_existing_directory(socket: &Path, place: &Place, report: &mut Report) {
    match unsafe_path(socket) {
        Some(UnsafePath::Directory(why)) => report.error(place, why),
        // The user that runs dormouse may be the one who placed the link.
        Some(UnsafePath::Link(why)) => report.warning(place, why),
        None => {}
    }
    if fs::symlink_metadata(socket).is_ok_and(|found| !found.file_type().is_socket()) {
        let socket = socket.display();
        report
            .error(place, format!("{socket} exists and is not a socket; remove it, or choose another path"));
    }
}

fn of_workload(server: &ServerConfig, places: &ServicePlaces, path: &OsStr, report: &mut Report) {
    let place = |key: &str| places.of_server(&server.name, &format!("wake.{key}"));
    match &server.wake {
        Some(ActivatorConfig::Exec(exec)) => of_program(exec, &place, path, report),
        Some(ActivatorConfig::Command(commands)) => {
            of_command(&commands.start, &place("start"), path, report);
            let others = [
                ("stop", &commands.stop),
                ("freeze", &commands.freeze),
                ("thaw", &commands.thaw),
                ("status", &commands.status),
            ];
            for (key, command) in others {
                if let Some(argv) = command {
                    of_command(argv, &place(key), path, report);
                }
            }
        }
        Some(ActivatorConfig::Unit(_) | ActivatorConfig::Container(_) | ActivatorConfig::WakeOnLan(_))
        | None => {}
    }
}

fn of_program(exec: &Exec, place: &impl Fn(&str) -> Place, path: &OsStr, report: &mut Report) {
    if let Some(directory) = &exec.directory {
        of_directory(directory, exec.wanted_account(), &place("directory"), report);
    }
    // With a PATH of its own the program may be found elsewhere.
    if exec.environment.iter().any(|(name, _)| name == "PATH") && !is_path(&exec.argv) {
        return;
    }
    let programs = match programs(&exec.argv, path) {
        Programs::Unknown => return,
        Programs::None(message) => {
            report.warning(&place("exec"), message);
            return;
        }
        Programs::Found(programs) => programs,
    };
    let Some(user) = exec.wanted_account() else { return };
    let mut refused = programs.iter().map(|program| denied(&user.identity, program));
    // The first that the user may execute is used.
    if let Some(Some(denied)) = refused.next().filter(|_| refused.all(|refused| refused.is_some())) {
        let (name, program) = (&user.name, exec.argv.first().map(|program| program.to_string_lossy()));
        let program = program.unwrap_or_default();
        let message = format!(
            "the user {name} may not execute {program}, because of {denied}; give that user the permission, or set \
             another user"
        );
        report.warning(&place("exec"), message);
    }
}

/// Reports the working directory of a program.
fn of_directory(directory: &Path, user: Option<&Account>, place: &Place, report: &mut Report) {
    let shown = directory.display();
    match fs::metadata(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            report.warning(place, format!("{shown} does not exist; create it"));
        }
        Ok(found) if !found.is_dir() => {
            report.warning(place, format!("{shown} is not a directory; correct the path"));
        }
        Ok(_) | Err(_) => {
            let denied = user.and_then(|user| Some((&user.name, denied(&user.identity, directory)?)));
            if let Some((name, denied)) = denied {
                let remedy = "let that user in, or set another directory";
                report.warning(place, format!("the user {name} may not enter {denied}; {remedy}"));
            }
        }
    }
}

/// Reports a command whose program is missing. Commands run as the user of dormouse.
fn of_command(argv: &[OsString], place: &Place, path: &OsStr, report: &mut Report) {
    if let Programs::None(message) = programs(argv, path) {
        report.warning(place, message);
    }
}

/// The files that a command may execute.
enum Programs {
    /// These, in the order in which they are tried.
    Found(Vec<PathBuf>),
    /// None: the message.
    None(String),
    /// A relative path, which depends on the working directory of dormouse, or a file that this process may not see.
    Unknown,
}

fn is_path(argv: &[OsString]) -> bool {
    argv.first().is_some_and(|program| program.to_string_lossy().contains('/'))
}

fn programs(argv: &[OsString], path: &OsStr) -> Programs {
    let Some(program) = argv.first() else { return Programs::Unknown };
    let named = program.to_string_lossy();
    if is_path(argv) {
        let program = Path::new(program);
        return match is_program(program).filter(|_| program.is_absolute()) {
            None => Programs::Unknown,
            Some(true) => Programs::Found(vec![program.to_owned()]),
            Some(false) => {
                Programs::None(format!("{named} is not a program; install it, or correct the name"))
            }
        };
    }
    let found: Vec<_> = std::env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(program))
        .filter(|program| is_program(program) == Some(true))
        .collect();
    if found.is_empty() {
        return Programs::None(format!("{named} is not in PATH; install it, or correct the name"));
    }
    Programs::Found(found)
}

/// Returns whether the path is a file that may be executed. `None`: this process may not see it.
fn is_program(path: &Path) -> Option<bool> {
    match path.metadata() {
        Ok(found) => Some(found.is_file() && found.permissions().mode() & 0o111 != 0),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => None,
        Err(_) => Some(false),
    }
}
