//! `show servers state`: the state that `HAProxy` saves over a restart, version 1 of its format.

use std::fmt::Write as _;
use std::net::SocketAddr;

use dormouse_core::activation::State;
use dormouse_core::address::Target;
use dormouse_core::control::AdminState;
use dormouse_core::dns::Source;

use super::running::{RunningServer, RunningService};
use super::server_status::{Status, status};

/// The two lines before the servers.
pub(super) const HEAD: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port \
srv_check_addr srv_agent_addr srv_agent_port\n";

/// Writes the servers of a service; `number`: its index among the services.
pub(super) fn servers(service: &RunningService, number: usize, text: &mut String) {
    for server in service.servers() {
        let admin = match server.admin() {
            AdminState::Ready => 0,
            AdminState::Maint => 1,
            AdminState::Drain => 8,
        };
        let Location { address, name, port, record } = location(&server.address, server.to);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{} {} {} {} {address} {} {admin} {} {} {} 1 0 0 0 0 0 0 {name} {port} {record} 0 0 - - 0",
            number + 2,
            service.name,
            server.index + 1,
            server.name,
            operational_state(&server),
            server.weight(),
            server.configured_weight,
            server.since().as_secs(),
        );
    }
}

/// Returns the operational state: 0 stopped, 1 starting, 2 running, 3 stopping. A stopped workload takes clients, so
/// its server is running.
fn operational_state(server: &RunningServer<'_>) -> u8 {
    match (status(server), server.wakeable().map(|wakeable| wakeable.state().0)) {
        (Status::Maint | Status::Down, _) => 0,
        (_, Some(State::Starting)) => 1,
        (_, Some(State::Stopping)) => 3,
        _ => 2,
    }
}

/// The address of a server. A missing part is a dash or 0.
#[derive(Debug, PartialEq, Eq)]
struct Location {
    address: String,
    name: String,
    port: u16,
    record: String,
}

fn location(address: &str, to: &Target) -> Location {
    let dash = || "-".to_owned();
    let (name, port, record) = match to {
        Target::Slot { source: Source::Addresses { name, port }, .. } => (name.clone(), port.get(), dash()),
        Target::Slot { source: Source::Services { name }, .. } => (dash(), 0, name.clone()),
        Target::Tcp { .. } => match address.rsplit_once(':') {
            Some((host, port)) => (host.replace(char::is_whitespace, "_"), port.parse().unwrap_or(0), dash()),
            None => (address.replace(char::is_whitespace, "_"), 0, dash()),
        },
        Target::Unix(_) | Target::Abstract(_) | Target::Vsock { .. } => (dash(), 0, dash()),
    };
    match (address.parse::<SocketAddr>(), to) {
        (Ok(known), Target::Slot { .. }) => {
            Location { address: known.ip().to_string(), name, port: known.port(), record }
        }
        (Ok(known), _) => {
            Location { address: known.ip().to_string(), name: dash(), port: known.port(), record }
        }
        (Err(_), _) => Location { address: dash(), name, port, record },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_has_an_address_a_name_or_neither() {
        let is = |address: &str, to: &Target, expected: (&str, &str, u16, &str)| {
            let found = location(address, to);
            let found = (found.address.as_str(), found.name.as_str(), found.port, found.record.as_str());
            assert_eq!(found, expected, "{address}");
        };
        for (to, expected) in [
            ("127.0.0.1:80", ("127.0.0.1", "-", 80, "-")),
            ("[::1]:80", ("::1", "-", 80, "-")),
            ("web.example:81", ("-", "web.example", 81, "-")),
            ("/run/a:1.sock", ("-", "-", 0, "-")),
        ] {
            is(to, &Target::parse(to.as_ref()).unwrap(), expected);
        }
        let server = |source: &str| {
            let source = Source::parse(source).unwrap().unwrap();
            Target::Slot { source, slot: 0 }
        };
        let (by_name, by_record) = (server("dns:web.example:80"), server("srv:_web._tcp.example"));
        is("192.0.2.1:80", &by_name, ("192.0.2.1", "web.example", 80, "-"));
        is("192.0.2.1:81", &by_record, ("192.0.2.1", "-", 81, "_web._tcp.example"));
        // The name has no address yet.
        is(&by_name.to_string(), &by_name, ("-", "web.example", 80, "-"));
        is(&by_record.to_string(), &by_record, ("-", "-", 0, "_web._tcp.example"));
    }

    #[test]
    fn the_header_names_every_field() {
        let names = HEAD.lines().nth(1).unwrap().trim_start_matches("# ").split(' ').count();
        assert_eq!(names, 25);
    }
}
