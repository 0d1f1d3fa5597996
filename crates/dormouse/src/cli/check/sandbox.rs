//! What confined programs lack on this machine, and what defeats their confinement.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use dormouse_activate::ActivatorConfig;
use dormouse_activate::exec::{Exec, PRIVATE_DIRECTORIES, Sandbox, Strict};
use dormouse_config::model::{Config, ServerConfig};
use dormouse_config::places::{Places, ServicePlaces};
use dormouse_config::report::{Place, Report};

/// Directories with files of many owners. A program needs one of its own.
const OF_THE_SYSTEM: [&str; 21] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/usr/lib",
    "/usr/local",
    "/usr/share",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/spool",
];
const EVERYBODY_WRITES: u32 = 0o002;

/// Warns of each part of a confinement that a program would not have if this user ran dormouse here, and of settings that
/// let it have more, or less, than it needs.
pub(super) fn look(config: &Config, places: &Places, report: &mut Report) {
    for service in &config.services {
        let Some(places) = places.service(&service.name) else { continue };
        for server in &service.servers {
            let Some(ActivatorConfig::Exec(exec)) = &server.wake else { continue };
            let Sandbox::Strict(strict) = &exec.sandbox else { continue };
            for text in exec.unavailable() {
                report.warning(&places.of_server(&server.name, "wake.sandbox"), text);
            }
            let confined = Confined { exec, strict, server, places };
            confined.look_at_user(report);
            confined.look_at_words(report);
            confined.look_at_directory(report);
            confined.look_at_socket_directory(report);
        }
    }
}

/// A confined program and its place in the configuration.
struct Confined<'a> {
    exec: &'a Exec,
    strict: &'a Strict,
    server: &'a ServerConfig,
    places: &'a ServicePlaces,
}

impl Confined<'_> {
    fn place(&self, key: &str) -> Place {
        self.places.of_server(&self.server.name, key)
    }

    fn look_at_user(&self, report: &mut Report) {
        if self.exec.user.as_ref().is_some_and(|user| user.identity.uid == 0) {
            let message = "root reads the files of all users, also as a confined program; name another user, or remove \
                           this setting for a user of its own";
            report.warning(&self.place("wake.user"), message.to_owned());
        }
    }

    /// Warns of the program, and of files in its arguments, that are hidden from it.
    fn look_at_words(&self, report: &mut Report) {
        for word in &self.exec.argv {
            let word = word.to_string_lossy();
            let value = word.split_once('=').map(|(_, value)| value);
            for path in [Some(word.as_ref()), value].into_iter().flatten().map(Path::new) {
                if let Some(private) = self.hides(path) {
                    let path = path.display();
                    let message = format!(
                        "{path} is below {private}, of which the program has a private one, so it cannot see that file; move it \
                         elsewhere, for example below /usr/local"
                    );
                    report.warning(&self.place("wake.exec"), message);
                }
            }
        }
    }

    /// Returns the private directory that hides an existing file from the program.
    fn hides(&self, path: &Path) -> Option<&'static str> {
        if !path.is_absolute() || !path.exists() {
            return None;
        }
        let forms = forms(path);
        let own = [self.exec.directory.as_deref(), self.strict.socket_directory.as_deref()];
        let mut shown = own.into_iter().flatten().filter(|own| private_above(own).is_some());
        let is_shown = shown.any(|own| own_contains(own, &forms));
        if is_shown { None } else { private_above(path) }
    }

    fn look_at_directory(&self, report: &mut Report) {
        let Some(directory) = &self.exec.directory else { return };
        let (place, shown) = (self.place("wake.directory"), directory.display());
        if is_one_of(directory, &OF_THE_SYSTEM) {
            let message = format!(
                "{shown} contains files of others, which the program could change as far as its user may; name a directory of \
                 its own, such as /srv/NAME"
            );
            report.warning(&place, message);
        } else if !is_one_of(directory, &PRIVATE_DIRECTORIES) && everybody_writes(directory) {
            let message = format!(
                "every user may write to {shown}, and replace files of the program; take that right away (chmod o-w)"
            );
            report.warning(&place, message);
        }
    }

    fn look_at_socket_directory(&self, report: &mut Report) {
        let Some(directory) = &self.strict.socket_directory else { return };
        let (place, shown) = (self.place("to"), directory.display());
        let user = self.exec.wanted_account().map_or("its user", |account| account.name.as_str());
        let missing =
            fs::metadata(directory).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        if missing {
            let message = format!(
                "the directory {shown} does not exist, and the program cannot create it; create it, and give it to {user} \
                 (chown)"
            );
            report.warning(&place, message);
        } else if is_one_of(directory, &PRIVATE_DIRECTORIES) {
            let message = format!(
                "the program listens in {shown}, of which it has a private one, so dormouse cannot connect; use a directory \
                 such as /run/NAME"
            );
            report.warning(&place, message);
        } else if everybody_writes(directory) {
            let message = format!(
                "every user may write to {shown}, and put a socket in the place of the program's; take that right away \
                 (chmod o-w)"
            );
            report.warning(&place, message);
        }
    }
}

/// Returns a path as it is written, and without links: a program may use both.
fn forms(path: &Path) -> [PathBuf; 2] {
    [path.to_owned(), fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())]
}

fn is_one_of(path: &Path, directories: &[&str]) -> bool {
    forms(path).iter().any(|path| directories.iter().any(|directory| path == Path::new(directory)))
}

fn own_contains(own: &Path, path: &[PathBuf; 2]) -> bool {
    forms(own).iter().any(|own| path.iter().any(|path| path.starts_with(own)))
}

/// Returns the directory above a path of which a confined program has a private one.
fn private_above(path: &Path) -> Option<&'static str> {
    let forms = forms(path);
    let above = |directory: &&str| {
        forms.iter().any(|path| path.starts_with(directory) && path != Path::new(directory))
    };
    PRIVATE_DIRECTORIES.into_iter().find(above)
}

fn everybody_writes(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|found| found.permissions().mode() & EVERYBODY_WRITES != 0)
}
