//! What a configuration needs of the system.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use dormouse_activate::exec::notify_directories;
use dormouse_activate::{ActivatorConfig, Changeable, Grant, ListenerRule, Program, Programs};
use dormouse_config::listen_options::FileOptions;
use dormouse_config::model::{CONTROL_MODE, Config, Listen, Ready};
use dormouse_core::address::ListenAddress;
use rustix::thread::CapabilitySet;

use super::capabilities;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needs {
    /// The directories that are read, without symbolic links.
    pub(super) readable: BTreeSet<PathBuf>,
    /// The directories in which files are created and removed, without symbolic links.
    pub(super) writable: BTreeSet<PathBuf>,
    /// The programs that are started.
    pub(super) programs: Programs,
    /// The owners of listeners are judged, which takes a look into other processes.
    pub(super) judges: bool,
    /// The sockets whose mode or owner the spawner may set.
    pub(super) changeable: Changeable,
    /// The configuration names the mode or the owner of a socket.
    pub(super) changes: bool,
    /// The capabilities.
    pub(super) capabilities: CapabilitySet,
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
            changeable: changeable(config),
            changes: changes(config),
            capabilities: capabilities::needed(config),
        }
    }

    /// Returns whether a process must start programs, look into others, or change files.
    pub(super) fn spawner(&self) -> bool {
        self.changes || self.looks_or_starts()
    }

    /// Returns whether a process must start programs or look into others.
    pub(super) fn looks_or_starts(&self) -> bool {
        self.judges || !self.programs.is_empty()
    }

    /// Returns what the spawner may do.
    pub(super) fn grant(&self) -> Grant {
        Grant { programs: self.programs.iter().cloned().collect(), files: self.changeable.clone() }
    }
}

/// Returns whether programs report that they are ready.
pub(super) fn notifies(config: &Config) -> bool {
    let servers = config.services.iter().flat_map(|service| &service.servers);
    let notifies = |wake: &ActivatorConfig| matches!(wake, ActivatorConfig::Exec(exec) if exec.notify);
    servers.flat_map(|server| &server.wake).any(notifies)
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
    let notify = notifies(config).then(notify_directories);
    let all = socket_directories(config).chain(notify.into_iter().flatten());
    all.map(|path| resolved(&path)).collect()
}

/// Returns the UNIX sockets that dormouse creates at paths of the configuration.
fn sockets(config: &Config) -> impl Iterator<Item = (PathBuf, FileOptions)> {
    let listeners = config.services.iter().flat_map(|service| service.listen.iter().cloned());
    listeners.chain(config.admin.control.listen()).filter_map(|listen| match listen {
        Listen::Open { address: ListenAddress::Unix(path), options } => {
            Some((path.as_path().to_owned(), options.file))
        }
        Listen::Open { .. } | Listen::Inherited(_) => None,
    })
}

/// Returns the directories of the sockets, of the default control socket and of the saved state.
fn socket_directories(config: &Config) -> impl Iterator<Item = PathBuf> {
    let sockets = sockets(config).filter_map(|(path, _)| Some(path.parent()?.to_owned()));
    let runtime = std::env::var_os("RUNTIME_DIRECTORY");
    let runtime: Vec<_> = runtime.iter().flat_map(std::env::split_paths).collect();
    sockets.chain(runtime)
}

fn changes(config: &Config) -> bool {
    sockets(config).any(|(_, file)| file != FileOptions::default())
}

/// Returns whether the mode or the owner of a socket is set beyond what a new socket gets when it is bound.
pub(super) fn sets_permissions(config: &Config) -> bool {
    let of_control = |path: &Path| match config.admin.control.listen() {
        Some(Listen::Open { address: ListenAddress::Unix(own), .. }) if own.as_path() == path => {
            Some(CONTROL_MODE)
        }
        _ => None,
    };
    sockets(config).any(|(path, file)| {
        let file = FileOptions { mode: file.mode.or_else(|| of_control(&path)), ..file };
        let differs = |mode| path.symlink_metadata().is_ok_and(|found| found.mode() & 0o7777 != mode);
        file.owner.is_some() || file.group.is_some() || file.mode.is_some_and(differs)
    })
}

fn changeable(config: &Config) -> Changeable {
    let owners = || sockets(config).map(|(_, file)| file);
    let servers = config.services.iter().flat_map(|service| &service.servers);
    // The notification socket of a program may belong to the program's user.
    let accounts: Vec<_> = servers
        .filter_map(|server| match &server.wake {
            Some(ActivatorConfig::Exec(exec)) if exec.notify => Some(&exec.account()?.identity),
            _ => None,
        })
        .collect();
    let notify = if notifies(config) { notify_directories() } else { Vec::new() };
    Changeable {
        directories: socket_directories(config).map(|path| resolved(&path)).collect(),
        notify: notify.first().map(|path| resolved(path)),
        users: owners()
            .filter_map(|file| Some(file.owner?.id))
            .chain(accounts.iter().map(|it| it.uid))
            .collect(),
        groups: owners()
            .filter_map(|file| Some(file.group?.id))
            .chain(accounts.iter().map(|it| it.gid))
            .collect(),
    }
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
