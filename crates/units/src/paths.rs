//! The rights that follow from paths: directories in which dormouse creates sockets, directories of programs, and sockets
//! that it connects to.

use std::path::{Component, Path};

use dormouse_activate::ActivatorConfig;
use dormouse_config::model::{Config, Listen};
use dormouse_core::address::{ListenAddress, Target};

use super::RUNTIME;
use super::files::{Access, Files, group_name};
use super::{Need, Remedy, Setting, rules};

/// Returns the needs of the configuration.
pub(super) fn needs(config: &Config, files: &Files) -> Vec<Need> {
    let mut needs = Vec::new();
    for (place, listen) in rules::listeners(config) {
        let Listen::Open { address, options } = listen else { continue };
        if let ListenAddress::Unix(socket) = &address {
            needs.extend(socket_file(&place, "dormouse", socket.as_path(), files));
        }
        if let Some(group) = options.file.group {
            // A member of a group may give its files to the group.
            let mut settings = vec![("SystemCallFilter", "@chown".to_owned())];
            if group.name != super::USER {
                settings.push(("SupplementaryGroups", group.name.clone()));
            }
            let why = format!("dormouse gives the socket file to the group {}", group.name);
            needs.push(Need { place, why, remedy: Remedy::DropIn(settings) });
        }
    }
    for (place, _, wake) in rules::workloads(config) {
        if let ActivatorConfig::Exec(exec) = wake {
            needs.extend(exec.directory.as_deref().and_then(|path| directory_of_program(&place, path)));
        }
    }
    for service in &config.services {
        let place = format!("services.{}.to", service.name);
        for server in &service.servers {
            let Target::Unix(socket) = &server.to else { continue };
            needs.extend(match &server.wake {
                // The program creates it, with the rights of the unit.
                Some(ActivatorConfig::Exec(_)) => socket_file(&place, "the program", socket.as_path(), files),
                _ => server_socket(&place, socket.as_path(), files),
            });
        }
    }
    needs
}

/// Returns what a socket file needs. `creator` is the subject of the sentence.
fn socket_file(place: &str, creator: &str, socket: &Path, files: &Files) -> Option<Need> {
    let directory = socket.parent()?;
    if directory.starts_with(RUNTIME) {
        return None;
    }
    let shown = socket.display();
    let need = |why: String, remedy| Some(Need { place: place.to_owned(), why, remedy });
    if directory == Path::new("/run") || directory == Path::new("/var/run") || directory == Path::new("/") {
        let name = socket.file_name()?.to_string_lossy().into_owned();
        let line =
            format!("Use the path {RUNTIME}/{name}: only root may create files in {}.", directory.display());
        return need(format!("{creator} creates the socket {shown}"), Remedy::Advice(vec![line]));
    }
    let mut settings = visible(directory);
    let why = match in_run(directory) {
        Some((first, whole)) if files.is_own_or_missing(first) => {
            settings.push(("RuntimeDirectory", whole));
            format!("{creator} creates the socket {shown}")
        }
        _ => {
            settings.push(writable(directory));
            format!(
                "{creator} creates the socket {shown}; beyond this right, its user must have the permission to write to \
                 {}",
                directory.display()
            )
        }
    };
    need(why, Remedy::DropIn(settings))
}

/// Returns what the directory of a program needs. Programs write to their directory, unless it belongs to the system.
fn directory_of_program(place: &str, directory: &Path) -> Option<Need> {
    const OF_THE_SYSTEM: [&str; 9] =
        ["/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/sbin", "/sys", "/usr"];
    let private = ["/tmp", "/var/tmp"].iter().any(|path| directory == Path::new(path));
    let of_the_system =
        directory == Path::new("/") || OF_THE_SYSTEM.iter().any(|path| directory.starts_with(path));
    if private || of_the_system || directory.starts_with(RUNTIME) {
        return None;
    }
    let mut settings = visible(directory);
    settings.push(writable(directory));
    let why = format!(
        "the program works in {}; the unit lets it write there, as far as the permissions of the directory do",
        directory.display()
    );
    Some(Need { place: place.to_owned(), why, remedy: Remedy::DropIn(settings) })
}

/// Returns what the socket of a server needs.
fn server_socket(place: &str, socket: &Path, files: &Files) -> Option<Need> {
    let shown = socket.display();
    let settings = visible(socket);
    let need = |why, remedy| Some(Need { place: place.to_owned(), why, remedy });
    match files.connect(socket) {
        Access::Group(group) => {
            let group = group_name(group);
            let why = format!("dormouse connects to {shown}, which the group {group} may use");
            let mut settings = settings;
            settings.push(("SupplementaryGroups", group));
            need(why, Remedy::DropIn(settings))
        }
        Access::Denied => need(
            format!("dormouse connects to {shown}, which the user {} may not use", super::USER),
            Remedy::Advice(vec![
                "Give the socket and the directories above it to a group, with permissions for the group; then the drop-in"
                    .to_owned(),
                format!("lets the user {} use that group.", super::USER),
            ]),
        ),
        Access::Given | Access::Unknown if settings.is_empty() => None,
        Access::Given | Access::Unknown => {
            need(format!("dormouse connects to {shown}, which the unit hides"), Remedy::DropIn(settings))
        }
    }
}

/// Returns the lines that make a path visible which the unit hides.
fn visible(path: &Path) -> Vec<Setting> {
    let below = |directories: &[&str]| directories.iter().any(|directory| path.starts_with(directory));
    let mut settings = Vec::new();
    if below(&["/tmp", "/var/tmp"]) {
        settings.push(("PrivateTmp", "no".to_owned()));
    }
    if below(&["/home", "/root", "/run/user"]) {
        settings.push(("ProtectHome", "no".to_owned()));
    }
    settings
}

/// Returns the line that makes a directory writable. The hyphen allows it to be missing.
fn writable(directory: &Path) -> Setting {
    ("ReadWritePaths", format!("-{}", directory.display()))
}

/// Returns the first directory below /run, and all below /run as `RuntimeDirectory=` takes it.
fn in_run(directory: &Path) -> Option<(&Path, String)> {
    let inside = directory.strip_prefix("/run").or_else(|_| directory.strip_prefix("/var/run")).ok()?;
    let plain = inside.components().all(|component| matches!(component, Component::Normal(_)));
    let whole = inside.to_str().filter(|text| plain && !text.is_empty() && !inside.starts_with("user"))?;
    let depth = inside.components().count();
    Some((directory.ancestors().nth(depth - 1)?, whole.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Permissions;

    fn settings(need: Option<Need>) -> Vec<String> {
        match need.map(|need| need.remedy) {
            Some(Remedy::DropIn(settings)) => {
                settings.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
            }
            Some(Remedy::Advice(lines)) => lines,
            None => Vec::new(),
        }
    }

    const EMPTY: Files = Files { user: Some(900), group: Some(901), look: |_| None };
    const ROOTS: Files = Files {
        user: Some(900),
        group: Some(901),
        look: |_| Some(Permissions { mode: 0o755, user: 0, group: 0 }),
    };

    #[test]
    fn a_socket_file_needs_a_directory_in_which_the_user_writes() {
        let of = |socket: &str, files| settings(socket_file("l", "dormouse", Path::new(socket), files));
        assert!(of("/run/dormouse/web.sock", &EMPTY).is_empty());
        assert!(of("/run/dormouse/a/web.sock", &ROOTS).is_empty());
        assert_eq!(of("/run/web/web.sock", &EMPTY), ["RuntimeDirectory=web"]);
        assert_eq!(of("/run/web/a/web.sock", &EMPTY), ["RuntimeDirectory=web/a"]);
        // The unit would give the directory of another service to its own user.
        assert_eq!(of("/run/postgresql/a.sock", &ROOTS), ["ReadWritePaths=-/run/postgresql"]);
        assert_eq!(of("/run/user/7/a.sock", &EMPTY), ["ProtectHome=no", "ReadWritePaths=-/run/user/7"]);
        assert_eq!(of("/tmp/a.sock", &EMPTY), ["PrivateTmp=no", "ReadWritePaths=-/tmp"]);
        assert_eq!(of("/srv/a b/a.sock", &EMPTY), ["ReadWritePaths=-/srv/a b"]);
        assert_eq!(
            of("/run/web.sock", &EMPTY),
            ["Use the path /run/dormouse/web.sock: only root may create files in /run."]
        );
    }

    #[test]
    fn a_program_writes_to_its_directory_unless_it_is_of_the_system() {
        let of = |directory: &str| settings(directory_of_program("l", Path::new(directory)));
        assert_eq!(of("/srv"), ["ReadWritePaths=-/srv"]);
        assert_eq!(of("/home/a"), ["ProtectHome=no", "ReadWritePaths=-/home/a"]);
        for directory in ["/", "/tmp", "/usr/share/x", "/run/dormouse/x", "/etc"] {
            assert!(of(directory).is_empty(), "{directory}");
        }
    }

    #[test]
    fn the_socket_of_a_server_may_need_a_group() {
        let files = |look| Files { user: Some(900), group: Some(901), look };
        let of = |files: &Files| settings(server_socket("l", Path::new("/run/x/s"), files));
        assert!(of(&EMPTY).is_empty());
        let grouped = files(|path| {
            let mode = if path.ends_with("s") { 0o660 } else { 0o755 };
            Some(Permissions { mode, user: 5, group: 4_000_000_000 })
        });
        assert_eq!(of(&grouped), ["SupplementaryGroups=4000000000"]);
        let closed = files(|path| {
            let mode = if path.ends_with("s") { 0o600 } else { 0o755 };
            Some(Permissions { mode, user: 5, group: 4_000_000_000 })
        });
        assert!(of(&closed)[0].starts_with("Give the socket and the directories above it to a group"));
    }
}
