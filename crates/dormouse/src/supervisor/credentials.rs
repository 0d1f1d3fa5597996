//! Whose credentials the servers of a service see: what passing them needs, and passed sockets that let in more users than
//! the server.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use dormouse_activate::ActivatorConfig;
use dormouse_config::model::{Listen, PeerCredentials, ServiceConfig};
use dormouse_config::width::{Audience, wider_than_server};
use dormouse_log::{Level, Log};
use dormouse_proxy::listener::Listener;
use dormouse_sys::connect_as::may_connect_as;
use rustix::net::{AddressFamily, SocketAddrUnix, getsockname, sockopt};

use super::RunError;

/// Reports a service that passes credentials in a process that may not.
///
/// # Errors
/// [`RunError::Credentials`].
pub(super) fn may_pass(service: &ServiceConfig) -> Result<(), RunError> {
    if service.peer_credentials == PeerCredentials::Pass && !may_connect_as() {
        return Err(RunError::Credentials { service: service.name.clone(), setting: pass(service) });
    }
    Ok(())
}

/// Reports a service with a program that is to run as another user, in a process that may not take on its user and groups,
/// or may not end its processes.
///
/// # Errors
/// [`RunError::User`].
pub(super) fn may_change_user(service: &ServiceConfig) -> Result<(), RunError> {
    for server in &service.servers {
        let Some(ActivatorConfig::Exec(exec)) = &server.wake else { continue };
        let lacks = exec.account().map(|account| account.identity.lacks()).unwrap_or_default();
        if lacks.is_empty() {
            continue;
        }
        let setting = match &exec.user {
            Some(account) => service.spelling.write("wake.user", &format!("\"{}\"", account.name)),
            None => service.spelling.write("wake.sandbox", "\"strict\""),
        };
        return Err(RunError::User { service: service.name.clone(), setting, lacks });
    }
    Ok(())
}

/// Returns the setting that passes credentials, as the user wrote it.
fn pass(service: &ServiceConfig) -> String {
    service.spelling.write("peer_credentials", "\"pass\"")
}

/// Checks the sockets that the service manager has passed: for `peer_credentials = "pass"` they must be UNIX sockets. Logs a
/// warning where nothing is configured and they let in more users than the server.
///
/// # Errors
/// [`RunError::NotUnix`].
pub(super) fn check_passed<'a>(
    service: &ServiceConfig,
    listen: &Listen,
    sockets: impl IntoIterator<Item = &'a Listener>,
    log: &Log,
) -> Result<(), RunError> {
    let Listen::Inherited(name) = listen else { return Ok(()) };
    for socket in sockets {
        match service.peer_credentials {
            PeerCredentials::Own => {}
            PeerCredentials::Pass if is_unix(socket) => {}
            PeerCredentials::Pass => {
                let (name, setting) = (name.clone(), pass(service));
                return Err(RunError::NotUnix { service: service.name.clone(), setting, name });
            }
            PeerCredentials::Unstated => {
                let wider =
                    audience(socket).and_then(|audience| wider_than_server(&audience, &service.servers));
                if let Some(wider) = wider {
                    let own = service.spelling.write("peer_credentials", "\"own\"");
                    let why = wider.explain(&pass(service), &own);
                    log.line(Level::Warning, format_args!("{}: fd:{name}: {why}.", service.name));
                }
            }
        }
    }
    Ok(())
}

fn is_unix(socket: &Listener) -> bool {
    sockopt::socket_domain(socket.socket()) == Ok(AddressFamily::UNIX)
}

/// Returns who can connect to a passed socket, as far as that is known.
fn audience(socket: &Listener) -> Option<Audience> {
    if !is_unix(socket) {
        return Some(Audience::Network);
    }
    let address = SocketAddrUnix::try_from(getsockname(socket.socket()).ok()?).ok()?;
    match address.path_bytes() {
        Some(path) => Audience::of_file(Path::new(OsStr::from_bytes(path))).ok(),
        None => Some(Audience::Everybody),
    }
}
