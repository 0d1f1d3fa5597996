//! The key `wake.sandbox`: the confinement of a program.

use std::path::Path;

use dormouse_activate::ActivatorConfig;
use dormouse_activate::exec::{Account, PRIVATE_DIRECTORIES, Sandbox, Strict};
use dormouse_core::address::Target;

use super::model::{Confined, ServerConfig};
use super::report::{Place, Report};
use super::value::Section;
use crate::defaults;

/// Reads the confinement of a program. What depends on the service is added later. Returns `None` after an error in the
/// value.
pub(super) fn read(section: &Section<'_>, directory: Option<&Path>, report: &mut Report) -> Option<Sandbox> {
    let words = [("none", Confined::No), ("strict", Confined::Strictly)];
    let chosen = match section.get("sandbox") {
        Some(field) => field.choice(&words, report)?,
        None => defaults::SANDBOX.value,
    };
    let Confined::Strictly = chosen else { return Some(Sandbox::None) };
    if let (Some(field), true) = (section.get("directory"), directory == Some(Path::new("/"))) {
        let sandbox = field.place().call("wake.sandbox");
        let message = format!(
            "contains all directories, and {sandbox} would let the program write to them; name one of its own"
        );
        report.error(field.place(), message);
    }
    Some(Sandbox::Strict(Strict::default()))
}

/// Adds the user and the directory of the socket to the confined programs of a service.
pub(super) fn complete(service: &str, servers: &mut [ServerConfig], place: &Place, report: &mut Report) {
    for ServerConfig { to, wake, .. } in servers {
        let Some(ActivatorConfig::Exec(exec)) = wake else { continue };
        let Sandbox::Strict(strict) = &mut exec.sandbox else { continue };
        if exec.user.is_none() {
            match Account::own(service) {
                Ok(account) => {
                    let home = exec.directory.clone().map(Into::into);
                    strict.own_user = Some(Account { home, ..account });
                }
                Err(error) => report.error(place, format!("has no user of its own: {error}")),
            }
        }
        let Target::Unix(socket) = to else { continue };
        let Some(directory) = socket.as_path().parent() else { continue };
        if PRIVATE_DIRECTORIES.iter().any(|private| directory == Path::new(private)) {
            let (sandbox, directory) = (place.call("wake.sandbox"), directory.display());
            let message = format!(
                "the program listens in {directory}, which is private to it ({sandbox}), so dormouse cannot connect; use a \
                 directory such as /run/{service}"
            );
            report.error(place, message);
        }
        strict.socket_directory = Some(directory.to_owned());
    }
}
