//! What a configuration needs of the system.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dormouse_activate::exec::notify_directories;
use dormouse_activate::{ActivatorConfig, ListenerRule, Program, Programs};
use dormouse_config::model::{Config, Listen, Ready};
use dormouse_core::address::ListenAddress;

/// The directories that the program reads: the databases and libraries of the C library, and the state of processes and
/// network interfaces.
const READABLE: [&str; 19] = [
    "/etc",
    "/gnu/store",
    "/lib",
    "/lib64",
    "/nix/store",
    "/proc",
    "/run/NetworkManager",
    "/run/host/userdb",
    "/run/resolvconf",
    "/run/systemd",
    "/run/userdb",
    "/sys",
    "/usr",
    "/var/db",
    "/var/lib/extrausers",
    "/var/lib/libvirt/dnsmasq",
    "/var/lib/misc",
    "/var/lib/sss",
    "/var/cache/nscd",
];
/// The files of the C library that may be links to elsewhere.
const LINKS: [&str; 4] = ["/etc/hosts", "/etc/localtime", "/etc/nsswitch.conf", "/etc/resolv.conf"];

/// What a configuration needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// The directories that are read, without symbolic links.
    pub(super) readable: BTreeSet<PathBuf>,
    /// The directories in which files are created and removed, without symbolic links.
    pub(super) writable: BTreeSet<PathBuf>,
    /// The programs that are started.
    pub(super) programs: Programs,
    /// The owners of listeners are judged, which takes a look into other processes.
    pub(super) judges: bool,
}

impl Needs {
    /// Returns what a configuration needs. `file` is the file that it comes from; `None` is the default one.
    pub(super) fn of(config: &Config, file: Option<&Path>) -> Self {
        let wakes = || config.services.iter().flat_map(|service| &service.servers).flat_map(|one| &one.wake);
        Self {
            readable: readable(file),
            writable: writable(config),
            programs: programs(config),
            judges: wakes().any(|wake| wake.properties().listener != ListenerRule::Any),
        }
    }

    /// Returns whether a process must start programs or look into others.
    pub(super) fn spawner(&self) -> bool {
        self.judges || !self.programs.is_empty()
    }
}

/// Returns the directories that are read, for a configuration in this file.
fn readable(file: Option<&Path>) -> BTreeSet<PathBuf> {
    let links = LINKS.iter().filter_map(|link| directory_of(Path::new(link)));
    READABLE.iter().map(|path| resolved(path.as_ref())).chain(links).chain(of_files(file)).collect()
}

/// Returns the directories of the files of a configuration, and of the files that these are links to.
pub(super) fn of_files(file: Option<&Path>) -> BTreeSet<PathBuf> {
    let all = dormouse_config::paths(file);
    let above = all.iter().map(|path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => resolved(parent),
        _ => resolved(Path::new(".")),
    });
    above.chain(all.iter().filter_map(|path| directory_of(path))).collect()
}

/// Returns the directory of the file that a path leads to, without symbolic links.
fn directory_of(path: &Path) -> Option<PathBuf> {
    Some(path.canonicalize().ok()?.parent()?.to_owned())
}

fn writable(config: &Config) -> BTreeSet<PathBuf> {
    let listeners = config.services.iter().flat_map(|service| service.listen.iter().cloned());
    let sockets = listeners.chain(config.admin.control.listen()).filter_map(|listen| match listen {
        Listen::Open { address: ListenAddress::Unix(path), .. } => Some(path.as_path().parent()?.to_owned()),
        Listen::Open { .. } | Listen::Inherited(_) => None,
    });
    // The control socket and the saved state.
    let runtime = std::env::var_os("RUNTIME_DIRECTORY");
    let runtime = runtime.iter().flat_map(std::env::split_paths);
    let servers = config.services.iter().flat_map(|service| &service.servers);
    let notifies = |wake: &ActivatorConfig| matches!(wake, ActivatorConfig::Exec(exec) if exec.notify);
    let notify = servers.flat_map(|server| &server.wake).any(notifies).then(notify_directories);
    let all = sockets.chain(runtime).chain(notify.into_iter().flatten());
    all.map(|path| resolved(&path)).collect()
}

fn programs(config: &Config) -> Programs {
    let mut programs = Vec::new();
    for service in &config.services {
        for server in &service.servers {
            let Some(wake) = &server.wake else { continue };
            let name = service.server_name(server);
            let ready = match &service.ready {
                Ready::Command(argv) => Some(Program::Command { service: name.clone(), argv: argv.clone() }),
                _ => None,
            };
            programs.extend(wake.programs(&name).into_iter().chain(ready).map(|one| (name.clone(), one)));
        }
    }
    programs.into_iter().collect()
}

/// Returns the path without symbolic links. A directory that does not exist stays as it is.
fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
