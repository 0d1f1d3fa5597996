//! The commands that change services and servers.

use std::fmt::Write as _;
use std::num::NonZeroU32;

use dormouse_config::limit::Cap;
use dormouse_core::activation::AdminError;
use dormouse_core::control::{AdminState, Selector, ServerName, Weight, WorkloadCommand};
use dormouse_core::pool::SlotState;
use dormouse_log::Level;
use dormouse_proxy::admission::raise_fd_limit;
use dormouse_proxy::stats::wake::WokenBy;

use super::running::{NotFound, Running, RunningServer, find, servers_of};
use super::shared::Sharers;
use super::state::state_with_admin;

/// The highest weight of a server.
const HIGHEST_WEIGHT: u32 = 256;

/// Wakes, puts to sleep, freezes, thaws, drains or ends a drain.
pub(super) fn steer(running: &Running, steer: WorkloadCommand, selector: &Selector) -> String {
    let services = running.services();
    let (service, servers) = match servers_of(&services, selector) {
        Ok(found) => found,
        Err(missing) => return format!("{}\n", missing.text()),
    };
    let servers = match (steer, selector) {
        // The next client gets the first server.
        (WorkloadCommand::Wake, Selector::Service(_)) => {
            let wakes = || servers.iter().filter(|server| server.wakes);
            let first = wakes().position(|server| server.admin() == AdminState::Ready).unwrap_or_default();
            let first = wakes().nth(first).map(|server| server.index);
            servers.into_iter().filter(|server| Some(server.index) == first).collect()
        }
        _ => servers,
    };
    let mut text = String::new();
    let is_single = service.servers().nth(1).is_none();
    for server in &servers {
        let name = if is_single { service.name.clone() } else { format!("{}/{}", service.name, server.name) };
        let done = one(steer, &service.name, &name, server);
        if done.is_ok() {
            running
                .log
                .line(Level::Notice, format_args!("{name}: {steer}, because an administrator asked for it."));
        }
        // Writing to a String cannot fail.
        let _ = match done {
            Ok(()) => writeln!(text, "{name}: {}", state_with_admin(server)),
            Err(reason) => writeln!(text, "{name}: not done: {reason}"),
        };
    }
    if text.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: not done: dormouse does not start it", service.name);
    }
    text
}

/// Applies the command to one server of a service. `name`: the name of the server in the commands of dormouse.
fn one(steer: WorkloadCommand, service: &str, name: &str, server: &RunningServer<'_>) -> Result<(), String> {
    match steer {
        WorkloadCommand::Drain => {
            server.set_admin(AdminState::Drain);
            return Ok(());
        }
        WorkloadCommand::Undrain => return undrain(service, server),
        _ => {}
    }
    let wakeable = server.wakeable().ok_or("dormouse does not start it")?;
    let done = match steer {
        WorkloadCommand::Wake => {
            match server.admin() {
                AdminState::Ready => {}
                AdminState::Drain => return Err(format!("it is drained; {}", end_of_drain(name))),
                AdminState::Maint => {
                    return Err(format!("it is in maintenance; {}", end_of_maintenance(service, server)));
                }
            }
            wakeable.wake(WokenBy::Administrator);
            Ok(())
        }
        WorkloadCommand::Sleep => wakeable.stop_by_admin(),
        WorkloadCommand::Freeze => wakeable.freeze(),
        WorkloadCommand::Thaw => wakeable.thaw(),
        WorkloadCommand::Drain | WorkloadCommand::Undrain => Ok(()),
    };
    done.map_err(|error| match error {
        AdminError::NotAwake => format!("it is {}", wakeable.state().0),
        AdminError::NotFrozen => format!("it is {}, not frozen", wakeable.state().0),
        AdminError::InUse(number) => {
            let sessions = if number == 1 { "1 session uses it or waits" } else { "sessions use it or wait" };
            let number = if number == 1 { String::new() } else { format!("{number} ") };
            match Sharers::of(wakeable).of_each(|sharer| sharer.leases + sharer.held) {
                own if own.is_empty() => format!(
                    "{number}{sessions} for it; drain it (dormouse drain {name}), or end them (shutdown sessions \
                     server {service}/{} on the control socket)",
                    server.name
                ),
                of_each => format!("{number}{sessions} for it{of_each}; drain all of these, or end their sessions"),
            }
        }
        AdminError::KeepWarm => "it is kept warm at this time of day".to_owned(),
    })
}

/// Ends the drain of a server. A vacant slot has no state of its own to report.
fn undrain(service: &str, server: &RunningServer<'_>) -> Result<(), String> {
    if server.admin() == AdminState::Maint && server.slot_state() != SlotState::Empty {
        return Err(format!("it is in maintenance; {}", end_of_maintenance(service, server)));
    }
    server.set_admin(AdminState::Ready);
    Ok(())
}

/// Returns the command that ends a drain, for a message.
pub(super) fn end_of_drain(name: &str) -> String {
    format!("dormouse undrain {name} ends the drain")
}

/// Returns the command that ends the maintenance of a server, for a message.
pub(super) fn end_of_maintenance(service: &str, server: &RunningServer<'_>) -> String {
    format!("enable server {service}/{} on the control socket ends that", server.name)
}

/// Sets the administrative state of a server. The answer is empty on success, as in `HAProxy`.
pub(super) fn set_state(running: &Running, name: &ServerName, admin: AdminState) -> String {
    let services = running.services();
    match find(&services, name) {
        Ok((service, server)) => {
            server.set_admin(admin);
            let (service, server) = (&service.name, server.name);
            running.log.line(
                Level::Notice,
                format_args!("{service}/{server}: {admin}, because an administrator asked for it."),
            );
            String::new()
        }
        Err(missing) => format!("{}\n", missing.text()),
    }
}

/// Changes the session limit of a service.
pub(super) fn set_maxconn(running: &Running, name: &str, value: u32) -> String {
    let services = running.services();
    match (services.iter().find(|service| service.name == name), Cap::new(value)) {
        (None, _) => "No such frontend.\n".to_owned(),
        (Some(_), None) => "Value out of range.\n".to_owned(),
        (Some(service), Some(cap)) => {
            service.admission.set_cap(cap);
            let wanted = running.fd_limits.sessions_wanted(services.iter().map(|service| &service.admission));
            let budget = raise_fd_limit(wanted, running.fd_reservation());
            running.fd_limits.grow(budget.sessions);
            String::new()
        }
    }
}

/// Changes the weight of a server; a percentage refers to the configured weight.
pub(super) fn set_weight(running: &Running, name: &ServerName, weight: Weight) -> String {
    let services = running.services();
    let server = match find(&services, name) {
        Ok((_, server)) => server,
        Err(missing) => return format!("{}\n", missing.text()),
    };
    let Some(handle) = server.handle() else {
        return "A weight means nothing to a server that is alone.\n".to_owned();
    };
    handle.set_weight(match weight {
        Weight::Absolute(weight) => weight.into(),
        Weight::Percent(share) => {
            (server.configured_weight.saturating_mul(share.into()) / 100).min(HIGHEST_WEIGHT)
        }
    });
    String::new()
}

/// Returns the weight of a server.
pub(super) fn weight(running: &Running, name: &ServerName) -> String {
    match find(&running.services(), name) {
        Ok((_, server)) => format!("{} (initial {})\n", server.weight(), server.configured_weight),
        Err(missing) => format!("{}\n", missing.text()),
    }
}

/// Changes the session limit of a server; 0 is no limit.
pub(super) fn set_server_maxconn(running: &Running, name: &ServerName, value: u32) -> String {
    let services = running.services();
    let handle = match find(&services, name) {
        Ok((_, server)) => server.handle(),
        Err(missing) => return format!("{}\n", missing.text()),
    };
    match handle {
        Some(handle) => {
            handle.set_maxconn(NonZeroU32::new(value));
            String::new()
        }
        None => "A server that is alone has no maxconn of its own; use 'set maxconn frontend'.\n".to_owned(),
    }
}

/// The shutdown of all present sessions of a server.
#[derive(Debug)]
pub(super) struct Shutdown {
    name: ServerName,
    /// The sessions after this number, up to `last`, are still to be checked.
    after: u64,
    last: u64,
}

/// The number of sessions per step.
const MAX_SESSIONS: usize = 128;

impl Shutdown {
    /// Begins it.
    ///
    /// # Errors
    /// When there is no such server.
    pub(super) fn of(running: &Running, name: ServerName) -> Result<Self, NotFound> {
        find(&running.services(), &name)?;
        Ok(Self { name, after: 0, last: running.sessions().map_or(0, |sessions| sessions.last()) })
    }

    /// Ends the next sessions. Returns false after the last.
    pub(super) fn go_on(&mut self, running: &Running) -> bool {
        let Some(sessions) = running.sessions() else { return false };
        let entries = sessions.after(self.after, MAX_SESSIONS);
        for entry in entries.iter().take_while(|entry| entry.id <= self.last) {
            let is_selected = entry.server().is_some_and(|server| server.name == self.name.server);
            if is_selected && *entry.service == *self.name.backend {
                entry.kill();
            }
        }
        self.after = entries.last().map_or(self.last, |entry| entry.id);
        self.after < self.last
    }
}

/// Ends one session.
pub(super) fn shutdown_session(running: &Running, id: u64) -> String {
    match running.sessions().and_then(|sessions| sessions.get(id)) {
        Some(entry) => {
            entry.kill();
            String::new()
        }
        None => "No such session (use 'show sess').\n".to_owned(),
    }
}
